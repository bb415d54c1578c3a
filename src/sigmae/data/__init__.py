"""Data sets: by name, from files, from arrays, from the hub; three fixed splits each."""

from typing import Any, TYPE_CHECKING

from sigmae.data.names import DATASETS, Whereabouts

if TYPE_CHECKING:
    from sigmae.data.dataset import Dataset, scaled, Split
    from sigmae.data.sources import load, whereabouts

__all__ = ["DATASETS", "Dataset", "Split", "Whereabouts", "load", "scaled", "whereabouts"]


def __getattr__(name: str) -> Any:
    """The public names that need torch, imported when first asked for: a list of names does not."""
    if name not in __all__:
        raise AttributeError(f"module 'sigmae.data' has no attribute '{name}'")
    from sigmae.data import dataset, sources

    return getattr(sources if name in ("load", "whereabouts") else dataset, name)
