"""What was computed before, on disk: tensors under a name and the hash of what they were made from."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sigmae.errors import SigmaeError
from sigmae.files import digest
from sigmae.tensors import load_tensors, save_tensors

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Shelf:
    """A folder of tensors that can be made again; None keeps nothing.

    `lasting` keeps what was made from other things beside the new (a folder that runs share); otherwise the new
    takes the place of the old. A damaged file is made again, and a folder that cannot be written stops nothing.
    """

    folder: Path | None
    lasting: bool = False

    def get(self, name: str, origin: str, make: Callable[[], Tensors]) -> Tensors:
        """The tensors called `name` that were made from `origin`: found, or made now."""
        if self.folder is None:
            return make()
        path = self.folder / f"{name.replace(':', '-')}-{digest(origin.encode())[:16]}.safetensors"
        try:
            return load_tensors(path)[0]
        except (SigmaeError, OSError):
            tensors = make()
        with suppress(OSError):
            save_tensors(path, tensors, {"origin": origin})
            if not self.lasting:
                self.discard(name, path)
        return tensors

    def discard(self, name: str, kept: Path) -> None:
        """Remove what was made under that name from something else."""
        assert self.folder is not None
        for path in self.folder.glob(f"{name.replace(':', '-')}-{'?' * 16}.safetensors"):
            if path != kept:
                path.unlink(missing_ok=True)
