"""What every part of an objective is: a module with typed fields, a check, and hooks for the training loop."""

from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable, TYPE_CHECKING, TypeVar

from torch import nn, Tensor
from torch.distributions import Distribution

from sigmae.errors import SigmaeError

if TYPE_CHECKING:
    from sigmae.data import Split
    from sigmae.model import Autoencoder
    from sigmae.objective import Objective, Terms

P = TypeVar("P", bound="Part")


@runtime_checkable
class Networks(Protocol):
    """All that an objective asks of a model."""

    encoder: nn.Module
    decoder: nn.Module


@dataclass(frozen=True)
class Sizes:
    """The shape of an example, and the size of the latent space."""

    shape: tuple[int, ...]
    latent_dim: int


@dataclass(frozen=True)
class Moment:
    """Where training stands when a hook is called: `epoch` and `step` count from 0."""

    model: "Autoencoder"
    train: "Split"
    validation: "Split"
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

    def prepare(self, networks: Networks, sizes: Sizes | None) -> None:
        """Make the state whose size depends on the model, or change layers; called once, before the optimizer is made.

        `sizes` is None where the model was made without a config.
        """

    def known(self, sizes: Sizes | None) -> Sizes:
        """`sizes`, for a part that cannot do without."""
        if sizes is None:
            raise SigmaeError(
                f"{type(self).__name__} has to know the sizes of the model: "
                "give Autoencoder(..., config=ModelConfig(...))."
            )
        return sizes

    def opponent(self) -> nn.Module | None:
        """The network that is trained against the model, by an optimizer of its own; None for almost all parts.

        Its parameters require no gradients, so that the step of the model leaves them alone.
        """
        return None

    @property
    def opponent_rate(self) -> float:
        """The opponent's learning rate, as a multiple of the model's."""
        return 1.0

    def opponent_loss(self) -> Tensor:
        """What the opponent minimises, on the codes of the last `forward`, detached: called after the model's step."""
        raise NotImplementedError(f"{type(self).__name__} has no opponent.")

    def begin_epoch(self, moment: Moment) -> Tensor | None:
        """Called before an epoch; may return indices of training examples that the epoch leaves out."""
        return None

    def begin_step(self, moment: Moment) -> None:
        """Called before every optimizer step."""

    @property
    def acts_in_steps(self) -> bool:
        """Whether `begin_step` does anything."""
        return type(self).begin_step is not Part.begin_step

    def begin_validation(self, moment: Moment) -> None:
        """Called before every validation pass."""

    def end_validation(self, moment: Moment, terms: "Terms") -> None:
        """Called after every validation pass, with its mean terms."""

    def settings(self) -> dict[str, Any]:
        """The fields that say what this part is, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]


@dataclass(eq=False)
class NoRegularizer(Part):
    """Asks nothing of the latent space, or nothing of the decoder: always zero."""

    @property
    def prior_scale(self) -> float:
        """One, of a prior that is not asked for."""
        return 1.0

    def joined(self, decoder: nn.Module) -> nn.Module:
        """The decoder as it is."""
        return decoder

    def forward(self, q: Distribution, *_: Any) -> Tensor:
        return q.mean.new_zeros(())
