"""The application that the verbs enter, and how it reads their options."""

from collections.abc import Sequence
from typing import Annotated, Any

from cyclopts import App, convert, Parameter, Token

from sigmae import __version__


def exactly(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert as always, but never round 1.5 to a whole number."""
    if kind in (int, int | None) and not tokens[0].value.lstrip("+-").isdecimal():
        raise ValueError
    return convert(kind, tokens)


app = App(
    name="sigmae",
    help="Gaussian autoencoders from parts: train, sample, evaluate and look, on real data.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(converter=exactly),
)

Flag = Annotated[bool, Parameter(negative="")]
Many = Parameter(negative="")
