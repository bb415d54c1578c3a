"""What a study is told on the command line, as values."""

from collections.abc import Sequence

from sigmae.errors import SigmaeError


def variations(texts: Sequence[str]) -> list[tuple[str, list[str]]]:
    """`latent.weight=0.1,1` as the name and the values that it takes."""
    found = [(name, [value for value in values.split(",") if value]) for name, values in map(parted, texts)]
    for name, values in found:
        if not values or len(set(values)) < len(values):
            raise SigmaeError(f"A study varies '{name}' over different values, separated by commas.")
    return found


def engine_options(texts: Sequence[str]) -> dict[str, int | float | str]:
    """`workers=2` as a name and a value: a number where it is one."""
    return {name: number(value) for name, value in map(parted, texts)}


def parted(text: str) -> tuple[str, str]:
    """The name and the value of `name=value`."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise SigmaeError(f"An option is name=value, got '{text}'.")
    return name, value


def number(text: str) -> int | float | str:
    """A whole number, a number, or else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
