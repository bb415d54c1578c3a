"""Where data come from and how training goes: plain settings, known without loading torch."""

from dataclasses import dataclass
from typing import Literal

from sigmae.errors import SigmaeError

DEFAULT_METHOD = "ar-iso-i"  # docs/methods.md says why


class Unsaid(int):
    """A whole number that stands where nobody has chosen one, and in whose place another may be proposed."""


@dataclass(frozen=True)
class DataConfig:
    """Where the data come from: the arguments of `sigmae.data.load`."""

    source: str
    data_dir: str | None = None
    image_size: int | None = None
    limit: int | None = None


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained; learning rate and best weights follow the validation loss."""

    epochs: int = Unsaid(50)
    """Passes over the training split."""
    batch_size: int = Unsaid(100)
    """Examples in a step."""
    lr: float = 1e-3
    """Adam's learning rate at the start."""
    seed: int = 0
    """One number for weights, order of the data, noise and densities."""
    precision: Literal["32", "bf16"] = "32"
    """Arithmetic: 32-bit floats, or bfloat16 where it is safe."""
    compile: bool = False
    """Generate code for the step, by torch.compile: a wait at the start, and faster steps."""
    clip: float | None = None
    """Largest norm of the gradient; larger ones are scaled down to it."""
    patience: int | None = None
    """Stop after so many epochs without a better validation loss; never with a discriminator, whose verdicts vary."""
    plateau_patience: int = 5
    """Lower the learning rate after so many epochs without a better validation loss."""
    plateau_factor: float = 0.5
    """What the learning rate is multiplied by then."""
    validation_examples: int | None = None
    """So many examples of the validation split are looked at after an epoch; all if not given."""
    keep: Literal["best", "last"] = "best"
    """Weights that are kept: those of the best validation loss, or of the last epoch."""

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "batch_size": 1, "seed": 0, "plateau_patience": 0}.items():
            if getattr(self, name) < least:
                raise SigmaeError(f"{name} must be {least} or more, got {getattr(self, name)}.")
        for name in ("lr", "clip", "patience", "plateau_factor", "validation_examples"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SigmaeError(f"{name} must be above 0 and finite, got {value}.")
        if self.plateau_factor >= 1:
            raise SigmaeError(f"plateau_factor must be below 1, since it lowers the rate; got {self.plateau_factor}.")
        if self.keep not in ("best", "last"):
            raise SigmaeError(f"keep is 'best' or 'last', got '{self.keep}'.")
        if self.precision not in ("32", "bf16"):
            raise SigmaeError(f"precision is '32' or 'bf16', got '{self.precision}'.")
