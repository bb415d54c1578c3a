"""The page of the explorer: one HTML file that holds its decoder, its data and what runs them, and loads nothing."""

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from safetensors.torch import save

from sigmae import files
from sigmae.data import Dataset
from sigmae.errors import SigmaeError
from sigmae.evaluation import Stages
from sigmae.explorer.contents import Contents, contents
from sigmae.explorer.vendoring import Runtime, runtime
from sigmae.export import decoder_onnx
from sigmae.model import Autoencoder
from sigmae.runs import Observers, read_run, SILENT

COUNT = 1000
NAME = "explorer.html"
SCRIPTS = ("arrays", "latents", "pictures", "decoder", "elements", "map", "sliders", "panels", "page")
PLACE = re.compile(r"%(\w+)%")


def explore_run(
    model: Autoencoder,
    data: Dataset,
    folder: Path,
    out: Path | None = None,
    *,
    count: int = COUNT,
    observers: Observers = SILENT,
) -> Path:
    """Write the page of the run in a folder; `out` is an .html file, or a folder for `NAME`; returns its path.

    It shows up to `count` examples of the test split, and compares with some of the training split.
    """
    if count < 1:
        raise SigmaeError(f"--count must be 1 or more, got {count}.")
    path = folder if out is None else out
    path = path if path.suffix == ".html" and not path.is_dir() else path / NAME
    config = read_run(folder)
    title = f"{config.method} on {config.data.source}"
    stages = Stages(model, data, seed=config.training.seed, folder=folder / "cache", tell=observers.stage)
    found = contents(stages, title, count)
    observers.stage("exporting the decoder")
    decoder = decoder_onnx(model)
    observers.stage("writing the page")
    files.write_text(path, page(found, decoder, runtime()))
    return path


def page(found: Contents, decoder: bytes, runs: Runtime) -> str:
    """The whole page. Its policy allows this very script and style, and the runtime that the script starts."""
    script, style = scripts(), asset("style.css", "sigmae.report") + asset("page.css")
    packed = {
        "module": runs.module,
        "wasm": runs.wasm,
        "decoder": gzip.compress(decoder, mtime=0),
        "tensors": gzip.compress(save(found.tensors), mtime=0),
    }
    parts = {
        "noun": found.facts["noun"],
        "title": escape(printable(found.facts["title"])),
        "policy": escape(policy(script, style)),
        "style": style,
        "facts": embedded(found.facts),
        "script": script,
        "licence": escape(asset("onnxruntime-license.txt")),
        **{name: base64.b64encode(content).decode() for name, content in packed.items()},
    }
    return filled(asset("page.html"), parts)


def filled(template: str, parts: Mapping[str, str]) -> str:
    """The template with every `%name%` of its own replaced; what is filled in is not looked through again."""
    return PLACE.sub(lambda place: parts[place[1]], template)


def scripts() -> str:
    """The modules as one, each after those that it imports: a page on disk cannot import another file."""
    return "".join(inlined(asset(f"{name}.js")) for name in SCRIPTS)


def inlined(module: str) -> str:
    """A module without its imports of others, its exports under their own names."""
    return re.sub(r"^export (?=\w)", "", re.sub(r'^import .* from "\./\w+\.js";\n', "", module, flags=re.M), flags=re.M)


def policy(script: str, style: str) -> str:
    """What the page may do: nothing from outside, and no other script than its own and those it holds."""
    allowed = "'wasm-unsafe-eval' blob:"  # to start the runtime, a module that the page holds
    return (
        f"default-src 'none'; script-src {hash_of(script)} {allowed}; style-src {hash_of(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def hash_of(content: str) -> str:
    """The content of an element as a policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def embedded(facts: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element: no text within it ends the element, or opens a comment."""
    return json.dumps(facts, allow_nan=False).replace("<", "\\u003c")


def printable(text: str) -> str:
    """Text without halves of characters, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def asset(name: str, package: str = "sigmae.explorer") -> str:
    """A file that came with a package."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")
