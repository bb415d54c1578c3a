"""The names of the tables, with their titles; needs no torch."""

import tomllib
from importlib import resources


def text_of(name: str) -> str:
    """The file that defines a table."""
    return (resources.files(__package__) / "definitions" / f"{name}.toml").read_text(encoding="utf-8")


def titles() -> dict[str, str]:
    """The title of every table by its name."""
    files = (resources.files(__package__) / "definitions").iterdir()
    names = sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))
    return {name: tomllib.loads(text_of(name))["title"] for name in names}


TABLES = titles()
