"""The documentation is whole: links lead somewhere, nothing public is left out, limits are tested, the site builds."""

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sigmae
from sigmae import testing
from sigmae.config import BOUNDS, PARTS
from sigmae.densities import DENSITIES
from sigmae.recipes import METHODS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts),
    *sorted((ROOT / "results").glob("*.md")),
]
CODE = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)
PART_PAGES = {
    "posterior": "posteriors",
    "propagation": "propagations",
    "likelihood": "likelihoods",
    "latent": "latent-regularizers",
    "decoder": "decoder-regularizers",
}
LEFT_OUT = {"Draw", "Fit", "History"}  # names of types


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def anchors(path: Path) -> set[str]:
    """What a link to a heading of the page may name, as code hosts make it of the heading."""
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+ (.+)$", CODE.sub("", path.read_text()), flags=re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", shown.lower()).strip().replace(" ", "-")
        found[slug] = found.get(slug, 0) + 1
    return {f"{slug}-{number}" if number else slug for slug, count in found.items() for number in range(count)}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_anchors_lead_somewhere(path):
    text = re.sub(r"`[^`\n]*`", "", CODE.sub("", path.read_text()))
    for target in re.findall(r'\]\(([^)\s]+)(?: "[^"]*")?\)', text):
        file, _, anchor = target.partition("#")
        if re.match("https?:", target):
            continue
        place = (path.parent / file).resolve() if file else path
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


def test_anchors_are_those_of_code_hosts(tmp_path):
    (tmp_path / "page.md").write_text("# A `b`, *c*: [d](e.md)\n```\n# no heading\n```\n## x-y\n## x-y\n")
    assert anchors(tmp_path / "page.md") == {"a-b-c-d", "x-y", "x-y-1"}


def test_every_page_is_in_the_table_of_contents():
    trees = re.findall(r"^```{toctree}\n(.*?)^```", page("index"), re.MULTILINE | re.DOTALL)
    lines = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    told = [(DOCS / f"{line.split('<')[-1].rstrip('>')}.md").resolve() for line in lines]
    assert sorted(told) == sorted(set(PAGES) - {DOCS / "index.md"})


def test_every_public_name_is_in_the_api():
    told = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", page("api"), flags=re.MULTILINE))
    names = {f"{module.__name__}.{name}" for module in (sigmae, testing) for name in module.__all__}
    assert names - {"sigmae.__version__"} <= told


def test_what_the_api_takes_of_a_module_is_all_that_is_public_there():
    blocks = re.findall(r"^\.\. automodule:: (\S+)\n((?:   .*\n)*)", page("api"), flags=re.MULTILINE)
    assert len(blocks) >= 5
    for name, options in blocks:
        public = getattr(import_module(name), "__all__", [])
        members = re.search(r":members: (.+)", options)
        listed = set(members.group(1).split(", ")) if members else set(public)
        told = {found for found in public if callable(getattr(import_module(name), found))}
        assert told <= listed | LEFT_OUT, name
        assert all(hasattr(import_module(name), found) for found in listed), name


@pytest.mark.parametrize("axis", PARTS)
def test_every_part_is_on_its_page(axis):
    text = page(f"parts/{PART_PAGES[axis]}")
    assert [name for name in PARTS[axis] if f"| `{name}(" not in text] == []


def test_every_bound_and_density_is_on_its_page():
    assert [name for name in BOUNDS if f"| `{name}`" not in page("parts/bounds")] == []
    assert [name for name in DENSITIES if f"`{name}`" not in page("parts/densities")] == []


@pytest.mark.parametrize("name", [*PART_PAGES.values(), "bounds", "densities"])
def test_every_limit_is_kept_by_a_test(name):
    files = [file for folder in ("laws", "parity", "densities") for file in (ROOT / "tests" / folder).glob("test_*.py")]
    nodes = [node for file in files for node in ast.parse(file.read_text()).body]
    kept = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    limits = page(f"parts/{name}").split("## Limits\n")[1].split("\n## ")[0]
    named = [re.findall(r"`(test_\w+)`", limit) for limit in re.split(r"^- ", limits, flags=re.MULTILINE)[1:]]
    assert all(named)
    assert {test for tests in named for test in tests} <= kept


def test_every_method_is_in_the_gallery(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "results"))
    found = import_module("gallery").records()
    assert found.numbers.keys() | found.failed.keys() == METHODS.keys()
    for name in found.numbers:
        assert f"\n### {name}\n" in page("gallery")
        assert (DOCS / "pictures" / "gallery" / f"{name}.png").stat().st_size < 15_000


def test_pictures_are_small():
    assert [path.name for path in (DOCS / "pictures").rglob("*") if path.stat().st_size > 200_000] == []


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    for package in ("furo", "latex2mathml", "myst_parser"):
        pytest.importorskip(package)
    command = [
        "-m",
        "sphinx",
        "-W",
        "-q",
        "-c",
        str(DOCS),
        "-d",
        str(tmp_path / "trees"),
        str(ROOT),
        str(tmp_path / "site"),
    ]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    written = list((tmp_path / "site").rglob("*.html"))
    assert len(written) > 20
    outside = re.compile(
        r'<(?:script|img|iframe|link rel="(?:stylesheet|preload|icon)")[^>]*(?:src|href)="(?:https?:)?//'
    )
    assert [path.name for path in written if outside.search(path.read_text())] == []
    formulas = (tmp_path / "site" / "docs" / "parts" / "bounds.html").read_text()
    assert "<math" in formulas
    assert "$$" not in formulas
