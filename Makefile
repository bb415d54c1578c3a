# make demo: trains on real data and leaves a report to look at. make test: passes the tests. Both set up first.
PYTHON ?= python3
BIN := .venv/bin
# Two processes of one thread each: more threads than cores would wait for one another. A file's tests stay together.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

.PHONY: demo test slow check bench results docs clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/installed
	$(BIN)/sigmae train digits --method rae-l2 --epochs 200 --out runs/demo
	$(BIN)/sigmae sample runs/demo --count 64 --density gmm10 --out runs/demo/samples.png
	@echo "Open runs/demo/report.html"

test: .venv/installed
	$(PYTEST) -m "not slow"

slow: .venv/installed
	$(PYTEST) -m slow

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is fast, against what: shares of one run, written to results/benchmarks.json. Nothing else should run meanwhile.
bench: .venv/installed
	$(BIN)/pip install -q -c constraints.txt -e ".[bench]"
	$(BIN)/python -m benchmarks

# The measured table of the README: nine methods on MNIST, about an hour and a half on two cores.
results: .venv/installed
	$(BIN)/python results/nine_methods.py

# The documentation as pages that need nothing else: docs/_build/html/index.html.
docs: .venv/installed
	$(BIN)/sphinx-build -W --keep-going -q -c docs -d docs/_build/trees . docs/_build/html

clean:
	rm -rf .venv runs docs/_build .mypy_cache .pytest_cache .ruff_cache
