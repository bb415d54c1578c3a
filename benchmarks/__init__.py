"""Benchmarks: what is measured against what, both sides in one run; `python -m benchmarks` runs them."""
