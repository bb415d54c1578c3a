"""The course of a training run: every term of the loss over the epochs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, overload, TYPE_CHECKING

from sigmae.figures.canvas import ACCENT, bare, chart, GRAY, legend, logarithmic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = {"train": "training", "validation": "validation"}
LARGEST = 3.5e38  # about the largest 32-bit float: no loss is larger, and no axis can show what is

History = Sequence[Mapping[str, Any]]


@overload
def curves(history: History, *, format: Literal["svg"] = "svg") -> dict[str, str]: ...


@overload
def curves(history: History, *, format: Literal["png"]) -> dict[str, bytes]: ...


def curves(history: History, *, format: str = "svg") -> dict[str, str] | dict[str, bytes]:
    """One picture per loss term: its training and validation values over the epochs, the best epoch marked.

    `history` holds the records of `metrics.jsonl`: `epoch`, `train` and `validation` with the same terms,
    `best`. Values that are not finite are left out, and so is a term that is zero throughout. The value axis
    is logarithmic where all values are positive and span more than a factor of ten. An SVG comes as text, its
    lines and letters dark for a reader who prefers a light page and light for one who prefers a dark one. The
    same history gives the same bytes.
    """
    terms = dict.fromkeys(term for record in history for part in PARTS for term in _terms(record, part))
    drawn = {term: {part: series(history, part, term) for part in PARTS} for term in terms}
    files = {
        term: chart(partial(_curve, lines, best_epoch(history)), title=term, format=format)
        for term, lines in drawn.items()
        if any(value for line in lines.values() for value in line.values())
    }
    return files if format == "png" else {term: file.decode() for term, file in files.items()}


def series(history: History, part: str, term: str) -> dict[int, float]:
    """The finite values of a term by epoch; `part` is "train" or "validation"."""
    values = {record.get("epoch"): _terms(record, part).get(term) for record in history}
    return {
        epoch: float(value)
        for epoch, value in values.items()
        if isinstance(epoch, int) and isinstance(value, int | float) and abs(value) <= LARGEST
    }


def best_epoch(history: History) -> int | None:
    """The last epoch marked as the best; the one of the lowest validation loss where none is marked."""
    loss = series(history, "validation", "loss")
    marked = [record.get("epoch") for record in history if record.get("best") is True]
    lowest = min(loss, key=loss.__getitem__, default=None)
    return next((epoch for epoch in reversed(marked) if epoch in loss), lowest)


def _terms(record: Mapping[str, Any], part: str) -> Mapping[str, Any]:
    terms = record.get(part)
    return terms if isinstance(terms, Mapping) else {}


def _curve(lines: Mapping[str, Mapping[int, float]], best: int | None, axes: "Axes", ink: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for part, colour, width in (("train", GRAY, 1.2), ("validation", ACCENT, 2.0)):
        if line := lines[part]:
            marker = "o" if len(line) == 1 else ""
            axes.plot(list(line), list(line.values()), label=PARTS[part], color=colour, linewidth=width, marker=marker)
    if best is not None and best in lines["validation"]:
        value = lines["validation"][best]
        axes.plot([best], [value], "o", color=ACCENT, markersize=7, label=f"best, epoch {best}")
    values = [value for line in lines.values() for value in line.values()]
    if min(values) > 0 and max(values) > 10 * min(values):
        logarithmic(axes, max(values) / min(values))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch")
    bare(axes, ink)
    legend(axes)
