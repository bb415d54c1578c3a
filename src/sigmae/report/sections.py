"""The sections of a run's page: functions of the run's record, empty where it holds nothing to show."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sigmae.figures import best_epoch, curves, series
from sigmae.report.markup import code, data_uri, element, Html, join, png, table
from sigmae.report.measurements import left_out, measurements
from sigmae.report.record import Record
from sigmae.report.words import (
    measured,
    metric_name,
    PARTS,
    picture_rank,
    picture_words,
    sentence_case,
    subject,
    written,
)

TITLE_KEYS = ("version", "method", "citation", "objective")


def title(record: Record) -> str:
    """The method and the data, as they were named."""
    data = record.config.get("data")
    source = data.get("name") or data.get("source") if isinstance(data, Mapping) else data
    method = written(record.config.get("method") or "Autoencoder")
    return f"{method} on {written(source)}" if source else method


def summary(record: Record) -> Html:
    """The run in one paragraph: its parts, its epochs, the best validation loss, the headline metrics."""
    sentences = [made_of(record), _trained(record), *_scored(record)]
    return element("p", *[join(sentence, " ") for sentence in sentences], class_="summary")


def metrics(record: Record) -> Html:
    """Every measurement by group, what was left out, and what the measurements were made with."""
    if not record.measurements:
        return element("p", "This run has not been evaluated yet.")
    shown = ("version", "rows", "left_out", "measured")  # elsewhere on the page, or no setting
    rest = {key: value for key, value in record.evaluation.items() if key not in shown}
    return join(
        measurements(record.measurements),
        left_out(_mapping(record.evaluation.get("left_out"))),
        _settings(rest, "What the measurements were made with"),
    )


def pictures(record: Record) -> Html:
    """The figures of the run's folder."""
    return join(*[_picture(record, stem) for stem in sorted(record.figures, key=picture_rank)])


def training(record: Record) -> Html:
    """The loss and its terms over the epochs."""
    return join(*[_curve(record, term, svg) for term, svg in curves(record.history).items()])


def objective(record: Record) -> Html:
    """The parts that the loss is made of, and whom to cite for them."""
    parts = _mapping(record.model.get("objective"))
    order = [*(part for part in PARTS if part in parts), *(part for part in parts if part not in PARTS)]
    rows = [_part_row(part, parts[part]) for part in order]
    parts_table = table("parts", "The parts of the objective", ["Part", "Choice", "Settings"], rows)
    *source, address = written(record.config.get("citation") or "").rpartition("https://")
    cited = element("p", "To cite: ", *source[:1], _linked("".join([*source[1:], address])))
    return join(parts_table if rows else "", cited if address else "")


def settings(record: Record) -> Html:
    """Whatever else the configuration holds."""
    rest = {key: value for key, value in record.config.items() if key not in TITLE_KEYS}
    if model := {key: value for key, value in record.model.items() if key not in TITLE_KEYS}:
        rest["model"] = model
    return _settings(rest, "The settings that this run was started with")


def environment(record: Record) -> Html:
    """The command, the versions and the hardware."""
    rest = {key: value for key, value in record.environment.items() if key not in ("version", "command")}
    command = record.environment.get("command")
    line = shlex.join(map(str, command)) if isinstance(command, list) else command
    return join(
        element("pre", code(written(line)), tabindex=0) if line else "",
        _settings(rest, "Where and with what this run was made"),
    )


def made_of(record: Record) -> Html:
    """The parts of the objective in a sentence."""
    parts = _mapping(record.model.get("objective"))
    choices = [
        join(code(_choice(parts[part])), f" ({name.lower()})")
        for part, (name, _) in PARTS.items()
        if parts.get(part) is not None
    ]
    size = record.model.get("latent_dim")
    dimensions = f" with {written(size)} latent dimensions" if size else ""
    listed = [join(", made of " if not before else ", ", choice) for before, choice in enumerate(choices[:-1])]
    return join("An autoencoder", dimensions, *listed, *[join(" and ", choice) for choice in choices[-1:]], ".")


def _trained(record: Record) -> Html:
    done = len({line["epoch"] for line in record.history})
    if not done:
        return join("No epoch has been recorded yet.")
    planned = _mapping(record.config.get("training")).get("epochs")
    part = f" of {planned}" if isinstance(planned, int) and planned != done else ""
    epochs = f"It was trained for {done}{part} epoch{'s' if done > 1 or part else ''}"
    best = best_epoch(record.history)
    if best is None:
        return join(epochs, ".")
    loss = element("strong", measured(series(record.history, "validation", "loss")[best]))
    return join(epochs, "; the validation loss was lowest at epoch ", str(best), ": ", loss, ".")


def _scored(record: Record) -> Iterator[Html]:
    """A sentence for each headline metric: its value for reconstructions and for the best samples."""
    headlines: dict[str, dict[str, Any]] = {}
    for row in filter(_headline, record.measurements):
        headlines.setdefault(str(row["metric"]), {})[str(row["of"])] = row["value"]
    for metric, values in headlines.items():
        samples = {of: value for of, value in values.items() if not of.endswith(("reconstructions", "interpolations"))}
        best = min(samples, key=samples.__getitem__, default=None)
        shown = [of for of in ("reconstructions", best) if of in values]
        told = [join(element("strong", measured(values[of])), f" for {subject(of)}") for of in shown]
        if told:
            among = f" (the best of {len(samples)} densities)" if len(samples) > 1 else ""
            yield join(metric_name(metric), ": ", told[0], *[join(", ", more) for more in told[1:]], among, ".")


def _headline(row: Mapping[str, Any]) -> bool:
    kind, value = str(row["metric"]).partition("-")[0], row["value"]
    finite = isinstance(value, int | float) and math.isfinite(value)
    return finite and (kind == "fid" or (kind, row["of"]) == ("squared_error", "reconstructions"))


def _picture(record: Record, stem: str) -> Html:
    of = stem.removeprefix("samples-")
    scores = [
        element("span", f"{metric_name(str(row['metric']))}: {measured(row['value'])}", class_="score")
        for row in record.measurements
        if str(row["of"]) == of and _headline(row)
    ]
    words = picture_words(stem)
    alt = f"{words.kind}: {words.title}. {words.caption}".strip()
    image = png(record.figures[stem], alt, pixels=1 if words.kind == "Images" else 2)
    caption = element("figcaption", element("strong", words.title), " ", words.caption, *scores)
    return element("figure", image, caption, class_="samples" if stem.startswith("samples") else "wide")


def _curve(record: Record, term: str, svg: str) -> Html:
    image = element(
        "img",
        src=data_uri("image/svg+xml", svg.encode("utf-8", "replace")),
        alt=". ".join(_course(record, part, term) for part in ("train", "validation")),
        width=480,
        height=300,
    )
    return element("figure", element("figcaption", element("strong", sentence_case(term))), image)


def _course(record: Record, part: str, term: str) -> str:
    """A curve in words, for those who cannot see it."""
    line = series(record.history, part, term)
    if not line:
        return f"No {part} values"
    first, last = min(line), max(line)
    ends = f"from {measured(line[first])} at epoch {first} to {measured(line[last])} at epoch {last}"
    return f"{sentence_case(part)}: {ends}, lowest {measured(min(line.values()))}"


def _part_row(part: str, value: Any) -> Html:
    name, question = PARTS.get(part, (sentence_case(part), ""))
    heading = element("th", name, element("small", question) if question else "", scope="row")
    chosen = {key: member for key, member in _mapping(value).items() if key != "type"}
    listed = written(chosen) if chosen else "–"
    return element("tr", heading, element("td", code(_choice(value))), element("td", listed))


def _choice(value: Any) -> str:
    return written(value.get("type", "–")) if isinstance(value, Mapping) else written(value)


def _settings(values: Mapping[str, Any], caption: str) -> Html:
    """A table of names and values: first the plain ones, then a group for each nested one."""
    if not values:
        return Html()
    plain = [_setting(key, value) for key, value in values.items() if not _nested(value)]
    nested = [
        [
            element("tr", element("th", sentence_case(key), scope="rowgroup", colspan=2)),
            *[_setting(name, member) for name, member in _flat(value)],
        ]
        for key, value in values.items()
        if _nested(value)
    ]
    return table("settings", caption, ["Name", "Value"], *([plain] if plain else []), *nested)


def _setting(name: str, value: Any) -> Html:
    return element("tr", element("th", code(name), scope="row"), element("td", _linked(written(value))))


def _linked(text: str) -> Html | str:
    """A secure address as a link, anything else as it is."""
    secure = text.startswith("https://") and not any(character.isspace() for character in text)
    return element("a", text, href=text, rel="noreferrer") if secure else text


def _flat(value: Mapping[str, Any] | Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """The leaves of nested settings under dotted names, as the command line spells them."""
    for key, member in value.items() if isinstance(value, Mapping) else enumerate(value):
        if _nested(member):
            yield from ((f"{key}.{name}", leaf) for name, leaf in _flat(member))
        else:
            yield str(key), member


def _nested(value: Any) -> bool:
    if isinstance(value, list):
        return any(isinstance(member, list | dict) for member in value)
    return isinstance(value, dict) and bool(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
