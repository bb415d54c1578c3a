"""The model card: what a run is, how it was made and how good it is, as the Hugging Face Hub reads a README.md."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sigmae.config import ModelConfig
from sigmae.conversion import as_json
from sigmae.recipes import METHODS
from sigmae.report.record import Record
from sigmae.report.words import measured, metric_name, PARTS, picture_rank, picture_words, subject, written

PICTURES = 6
NAME = re.compile(r"[\w-]+")  # which needs no escape in a link
MARKS = re.compile(r"([\\`*_\[\]<>|#!&])")


def card(config: ModelConfig, name: str, record: Record | None = None, pictures: Sequence[str] = ()) -> str:
    """The text of a model card, of a model alone or with the `record` of its run and the paths of its pictures."""
    rows = [] if record is None else list(filter(is_number, record.measurements))
    sections = [
        front_matter(config, name, data_name(record), rows),
        f"# {plain(name)}",
        introduction(config, data_name(record)),
        use(name),
        *gallery(pictures),
        *numbers(rows),
        parts(config),
        *origin(record),
        *citation(config),
    ]
    return "\n\n".join(sections) + "\n"


def front_matter(config: ModelConfig, name: str, data: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The hub's metadata: YAML, whose values are written as JSON, which is YAML too."""
    task = "unconditional-image-generation" if len(config.shape) == 3 else "other"
    metrics = [
        {"type": row["metric"], "name": f"{row['metric']} of {row['of']}", "value": row["value"]} for row in rows
    ]
    told: dict[str, Any] = {
        "library_name": "sigmae",
        "tags": ["sigmae", "autoencoder", config.method],
        "model_name": name,
    }
    if len(config.shape) == 3:
        told["pipeline_tag"] = task
    if data.startswith("hf:"):
        told["datasets"] = ["/".join(data.removeprefix("hf:").split("/")[:2])]
    if metrics:
        dataset = {"name": data, "type": data.removeprefix("hf:")}
        result = {"task": {"type": task}, "dataset": dataset, "metrics": metrics}
        told["model-index"] = [{"name": name, "results": [result]}]
    return "\n".join(["---", *(f"{key}: {json.dumps(value)}" for key, value in told.items()), "---"])


def introduction(config: ModelConfig, data: str) -> str:
    """One paragraph: method, data, sizes."""
    summary = METHODS[config.method].summary if config.method in METHODS else "a method of one's own"
    trained = f" Trained on {plain(data)}." if data else ""
    shape = " × ".join(map(str, config.shape))
    sizes = f"An autoencoder of {shape} values and {config.latent_dim} latents by the method {plain(config.method)}"
    return f"{sizes}: {summary.rstrip('.')}.{trained}"


def use(name: str) -> str:
    """How it is loaded."""
    return (
        "```python\nimport sigmae\n\n"
        f"model = sigmae.Autoencoder.from_pretrained({name!r})\n"
        "pictures = model.sample(64)\n```"
    )


def gallery(pictures: Sequence[str]) -> list[str]:
    """The pictures, each under its title."""
    shown = [(path, picture_words(Path(path).stem)) for path in pictures]
    return [f"**{words.title}** {words.caption}\n\n![{words.title}]({path})" for path, words in shown]


def numbers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The evaluation as a table."""
    if not rows:
        return []
    lines = [
        f"| {metric_name(str(row['metric']))} | {plain(subject(str(row['of'])))} | {measured(row['value'])} | "
        f"{plain(str(row.get('unit', '')))} | {row.get('count', '')} |"
        for row in rows
    ]
    return ["## Evaluation", "\n".join(["| metric | of | value | unit | count |", "|---|---|---|---|---|", *lines])]


def parts(config: ModelConfig) -> str:
    """The parts of the objective as a table."""
    lines = []
    for axis, part in as_json(config.objective).items():
        settings = {key: value for key, value in part.items() if key != "type"}
        name = PARTS[axis][0] if axis in PARTS else axis
        lines.append(f"| {name} | {plain(str(part['type']))} | {plain(written(settings)) if settings else '–'} |")
    return "\n".join(["## Parts", "", "| part | choice | settings |", "|---|---|---|", *lines])


def origin(record: Record | None) -> list[str]:
    """How the run was trained, where, and with what."""
    if record is None:
        return []
    training, machine = record.config.get("training"), record.environment
    packages = machine.get("packages", {})
    told = {
        "training": plain(written(training)),
        "processor": plain(str(machine.get("gpu") or machine.get("processor") or "not known")),
        "versions": plain(written({name: packages[name] for name in ("sigmae", "torch") if name in packages})),
        "commit": plain(str(machine.get("commit") or "not known")),
    }
    return ["## How it was made", "\n".join(f"- {name}: {text}" for name, text in told.items())]


def citation(config: ModelConfig) -> list[str]:
    """Whom to cite, for a method of a paper."""
    if config.method not in METHODS:
        return []
    return ["## Citation", f"```bibtex\n{METHODS[config.method].paper.bibtex}\n```"]


def chosen_pictures(record: Record) -> dict[str, bytes]:
    """The first pictures of a report, those that say most, by the path that the card gives them."""
    chosen = [stem for stem in sorted(record.figures, key=picture_rank) if NAME.fullmatch(stem)][:PICTURES]
    return {f"figures/{stem}.png": record.figures[stem] for stem in chosen}


def is_number(row: Mapping[str, Any]) -> bool:
    """Whether a measurement has a value that JSON can spell."""
    return isinstance(row["value"], int | float) and math.isfinite(row["value"])


def data_name(record: Record | None) -> str:
    """What the data are called, without the path where they lay."""
    data = {} if record is None else record.config.get("data", {})
    source = str(data.get("source", "")) if isinstance(data, Mapping) else str(data)
    return source if source.startswith("hf:") else Path(source).name


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return MARKS.sub(r"\\\1", " ".join(text.split()))
