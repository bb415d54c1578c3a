"""Seeds: one number from the user, an independent one for every purpose."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import torch


def derived_seed(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for a purpose, such as ("step", 12); the same for the same arguments, anywhere."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """A CPU generator seeded for a purpose."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))


def reseed(seed: int) -> None:
    """Seed torch's global generators where there is a device that draws from them.

    `torch.manual_seed` does too, and without a GPU keeps a request to seed one, with a stack trace, at every call.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def seeded(seed: int, *purpose: str | int) -> Iterator[None]:
    """Run a block on torch's global generators seeded for a purpose; afterwards they are as before."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):  # named, for several would be warned of
        reseed(derived_seed(seed, *purpose))
        yield
