"""Groups: cells that are alike but for their seeds, which can be trained as one vectorised program."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from sigmae.errors import SigmaeError
from sigmae.runs import open_run
from sigmae.studies.cells import Cell, complete, planned, Scoring
from sigmae.training import can_train_together, train_together

Group = tuple[Cell, ...]


def groups(cells: Iterable[Cell]) -> list[Group]:
    """The cells of every configuration, in their order."""
    found: dict[Cell, list[Cell]] = {}
    for cell in cells:
        found.setdefault(cell.without_seed, []).append(cell)
    return [tuple(alike) for alike in found.values()]


def complete_group(cells: Group, runs: Path, scoring: Scoring) -> None:
    """Complete every cell: those that can be are trained at once, the others one by one; one that fails stops none."""
    at_once([cell for cell in cells if not (cell.folder(runs) / "model.safetensors").exists()], runs)
    errors = []
    for cell in cells:
        try:
            complete(cell, cell.folder(runs), scoring)
        except SigmaeError as error:
            errors.append(str(error) if len(cells) == 1 else f"Seed {cell.training.seed}: {error}")
    if errors:
        raise SigmaeError(" ".join(errors))


def at_once(cells: Sequence[Cell], runs: Path) -> None:
    """Train cells as one program and leave their checkpoints; nothing where that cannot be.

    A run that diverges ends this for all; each then goes on alone from where it was saved, and tells its own error.
    """
    if len(cells) < 2:
        return
    plans = [planned(cell) for cell in cells]
    models, configs, data = [p.model for p in plans], [p.config.training for p in plans], plans[0].data
    if can_train_together(models, data, configs):
        return
    folders = [cell.folder(runs) for cell in cells]
    for folder, plan in zip(folders, plans, strict=True):
        open_run(folder, plan.config)
    with suppress(SigmaeError):
        train_together(models, data, configs, folders=folders)
