"""The application that the verbs enter, and how it reads their options."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import App, convert, Parameter, Token
from rich.console import Console
from rich.theme import Theme

from sigmae import __version__


def exactly(kind: Any, tokens: Sequence[Token]) -> Any:
    """Convert as always, but never round 1.5 to a whole number."""
    if kind in (int, int | None) and not tokens[0].value.lstrip("+-").isdecimal():
        raise ValueError
    return convert(kind, tokens)


def examples(told: Mapping[str, str]) -> str:
    """What stands under a command's help: commands that one can type, and what each does."""
    return "**Examples**\n\n" + "\n".join(f"- `{command}`  \n  {does}" for command, does in told.items())


app = App(
    name="sigmae",
    help="Gaussian autoencoders from parts: train, sample, evaluate and look, on real data.",
    help_epilogue=examples(
        {
            "sigmae train digits --out runs/digits": "Real data that ship with scikit-learn, and a report to look at.",
            "sigmae COMMAND --help": "What a command takes, with examples.",
            "sigmae --install-completion": "Complete commands and options by the tab key, in bash, zsh and fish.",
        }
    ),
    version=__version__,
    help_format="markdown",
    console=Console(theme=Theme({"markdown.code": "bold cyan"})),  # where rich has a black ground, on any terminal
    suppress_keyboard_interrupt=False,
    default_parameter=Parameter(converter=exactly),
)

Flag = Annotated[bool, Parameter(negative="")]
Many = Parameter(negative="")

app.register_install_completion_command(name="--install-completion")
