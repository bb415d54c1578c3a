"""Names: ours from a table, a third party's as `module:attribute`."""

import importlib
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sigmae.errors import hint, SigmaeError, unknown


def resolve(kind: str, name: str, known: Mapping[str, Any], trust: Sequence[str] | None = None) -> Any:
    """What `name` stands for: an entry of `known`, or an attribute imported from `module:attribute`.

    Importing runs code. `trust` lists the modules that may be imported because of what a file says;
    None means that the name was given by the user in person.
    """
    if name in known:
        return known[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        raise unknown(kind, name, known)
    if trust is not None and module not in trust:
        raise SigmaeError(
            f"The {kind} '{name}' is code outside this library, and loading it would run it: "
            f"if you trust it, add --trust {module} (trust=['{module}'] in Python)."
        )
    return imported(kind, module, attribute)


def imported(kind: str, module: str, attribute: str) -> Any:
    """The attribute of a module that is installed, or else lies in the working folder."""
    here, package = str(Path.cwd()), module.partition(".")[0]
    try:  # what runs as a script or a notebook is there without being anywhere to find
        if here not in sys.path and package not in sys.modules and find_spec(package) is None:
            sys.path.append(here)
        found = importlib.import_module(module)
    except Exception as error:  # it is another's code, which can raise anything
        raise SigmaeError(
            f"The {kind} '{module}:{attribute}' cannot be imported, since importing {module} raised "
            f"{type(error).__name__} ({error}): mend the module, install it, or run in the folder where it lies."
        ) from error
    try:
        return getattr(found, attribute)
    except AttributeError as error:
        near = hint(attribute, vars(found))
        raise SigmaeError(f"The module {module} has no attribute '{attribute}' to be a {kind}.{near}") from error
