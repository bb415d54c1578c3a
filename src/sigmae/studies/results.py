"""Results: every number of every run of a study, as tidy rows."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """One number of one run.

    `label` is the table's row that the run belongs to, all that varies but its seed ("rae-l2", "vae latent.weight=2");
    `details` are the same as names and values (method, data, network, settings).
    """

    label: str
    seed: int
    metric: str
    of: str
    value: float
    unit: str
    run: str
    details: Mapping[str, str]
