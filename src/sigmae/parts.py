"""What every part of an objective is: a module with typed fields, a check, and hooks for the training loop."""

from dataclasses import dataclass, fields
from typing import Any, TYPE_CHECKING, TypeVar

from torch import nn, Tensor
from torch.distributions import Distribution

if TYPE_CHECKING:
    from sigmae.data import Split
    from sigmae.model import Autoencoder
    from sigmae.objective import Objective, Terms

P = TypeVar("P", bound="Part")


@dataclass(frozen=True)
class Moment:
    """Where training stands when a hook is called: `epoch` and `step` count from 0."""

    model: "Autoencoder"
    train: "Split"
    epoch: int
    step: int


class Part(nn.Module):
    """One choice of an objective; subclasses are dataclasses, so that a choice is its fields.

    State lives in parameters and buffers, so `state_dict`, `.to(device)`, data-parallel training and
    resuming cover it. The hooks are all that a part may ask of the training loop.
    """

    def __new__(cls: type[P], *_: Any, **__: Any) -> P:
        part = super().__new__(cls)
        nn.Module.__init__(part)  # before the dataclass assigns fields, which may be modules
        return part

    def check(self, objective: "Objective") -> None:
        """Raise `IncompatibleParts` if this part cannot work beside the others of `objective`."""

    def prepare(self, decoder: nn.Module) -> None:
        """Change the decoder's layers where the part is a property of them; called once, by the model."""

    def begin_epoch(self, moment: Moment) -> Tensor | None:
        """Called before an epoch; may return indices of training examples that the epoch leaves out."""
        return None

    def begin_step(self, moment: Moment) -> None:
        """Called before every optimizer step."""

    def end_validation(self, moment: Moment, terms: "Terms") -> None:
        """Called after every validation pass, with its mean terms."""

    def settings(self) -> dict[str, Any]:
        """The fields that say what this part is, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


@dataclass(eq=False)
class NoRegularizer(Part):
    """Asks nothing of the latent space, or nothing of the decoder: always zero."""

    def forward(self, q: Distribution, *_: Any) -> Tensor:
        return q.mean.new_zeros(())
