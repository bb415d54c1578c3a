"""The documentation site: `make docs` builds docs/_build/html from the Markdown files of the whole repository.

Pages lie where their files lie, so that a link between files is the same on a code host and on the site. Nothing is
loaded from elsewhere: formulas are MathML, which browsers set by themselves.
"""

import inspect
import re
import typing
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util.inspect import signature, stringify_signature

typing.GENERATING_DOCUMENTATION = True  # type: ignore[attr-defined]  # jaxtyping shows shapes as they are written

import sigmae  # noqa: E402

project, author, version = "sigmae", "The sigmae authors", sigmae.__version__
copyright = "the sigmae authors; licence Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "results/*.md"]
exclude_patterns = [".*", "**/_build", "benchmarks", "runs", "src", "tests", "results/*/**"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

nitpicky = True
nitpick_ignore_regex = [("py:.*", ".*")]  # of a signature, what is not ours
default_role = "code"
smartquotes = False
IN_EVERY_PART = """
accepts, begin_epoch, begin_step, begin_validation, check, decoder_shape, distortion, draw, end_validation, forward,
hands_on, has_density, is_density, joined, learns_spread, matches_prior, mean, measure, opponent, opponent_loss,
opponent_rate, outputs, prepare, prior_scale, reads_logits, reads_means, training, unit_range
"""  # told once, of the abstract part
autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": IN_EVERY_PART.replace("\n", " "),
}
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"

html_theme = "furo"
html_title = f"sigmae {sigmae.__version__}"
html_static_path, html_css_files = ["style"], ["site.css"]
html_extra_path = ["start"]
html_math_renderer = "mathml"
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}


REPAIRS = {  # of the converter's output: relations are operators, and a function's name stands apart from what follows
    "<mi>&#x0007E;</mi>": "<mo>&#x0223C;</mo>",
    "<mi>&#x000B1;</mi>": "<mo>&#x000B1;</mo>",
    "<mi>ln</mi>": '<mi>ln</mi><mspace width="0.17em"/>',
}


def formula(latex: str, display: str = "inline") -> str:
    """A formula as MathML."""
    math = convert(latex, display=display)
    for found, meant in REPAIRS.items():
        math = math.replace(found, meant)
    return math


def inline_formula(writer: Any, node: nodes.Element) -> None:
    """A formula within a line."""
    writer.body.append(formula(node.astext()))
    raise nodes.SkipNode


def display_formula(writer: Any, node: nodes.Element) -> None:
    """A formula on a line of its own."""
    writer.body.append(f'<div class="formula">{formula(node.astext(), "block")}</div>')
    raise nodes.SkipNode


def as_reference(_app: Sphinx, _kind: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings are plain text with names in backticks: what reStructuredText would read into the rest is escaped.

    Under an underlined heading stand names, each before a colon and what is to be said of it.
    """
    text = re.sub(r"^(\w+)\n-{4,}$", r"\1:\n", "\n".join(lines), flags=re.MULTILINE)
    text = re.sub(r"^(\w+(?:, \w+)*) : ", r"-   `\1`: ", text, flags=re.MULTILINE)
    parts = re.split(r"(``?[^`]+``?)", text)
    parts[::2] = [re.sub(r"([\\*_|])", r"\\\1", plain) for plain in parts[::2]]
    parts[1::2] = [linked(name.strip("`")) for name in parts[1::2]]
    lines[:] = "".join(parts).split("\n")


def linked(name: str) -> str:
    """A name as code, with a link where it is one of the public ones."""
    return f":py:obj:`~sigmae.{name}`" if name in sigmae.__all__ else f"``{name}``"


def fields(_app: Sphinx, _kind: str, _name: str, part: Any, *_: Any) -> tuple[str, str] | None:
    """The signature of a part is that of its fields."""
    if not (inspect.isclass(part) and issubclass(part, sigmae.Part)):
        return None
    told = signature(part.__init__, bound_method=True)
    return stringify_signature(told, show_return_annotation=False, unqualified_typehints=True), ""


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (display_formula, None))
    app.connect("autodoc-process-docstring", as_reference)
    app.connect("autodoc-process-signature", fields)
