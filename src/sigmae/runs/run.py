"""A run as an object: what a notebook opens."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sigmae.config import RunConfig
from sigmae.data import Dataset
from sigmae.evaluation import Row
from sigmae.model import Autoencoder
from sigmae.report import read_record
from sigmae.report.notebook import run_html
from sigmae.runs.folder import load_run, read_rows, read_run, run_data


@dataclass(frozen=True)
class Run:
    """The run in a folder; everything is read when it is asked for, and `trust` is as for `sigmae.load`."""

    folder: str | Path
    trust: Sequence[str] = ()

    def __post_init__(self) -> None:
        read_run(self.path)  # at once, so that a folder without a run is told where it is named

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.folder)

    @property
    def config(self) -> RunConfig:
        """Method, data, parts and settings of training."""
        return read_run(self.path)

    @property
    def model(self) -> Autoencoder:
        """The trained model."""
        return load_run(self.path, trust=self.trust)

    @property
    def data(self) -> Dataset:
        """What it was trained on."""
        return run_data(self.path, trust=self.trust)

    @property
    def rows(self) -> list[Row]:
        """The numbers of its evaluation."""
        return read_rows(self.path)

    def _repr_html_(self) -> str:
        """What a notebook shows: a paragraph, pictures, numbers."""
        return run_html(read_record(self.path))
