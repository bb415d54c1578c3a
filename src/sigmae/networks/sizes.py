"""What a network's sizes must be."""

from sigmae.errors import SigmaeError

LATENTS = 1 << 14
AXES = 8
VALUES = 1 << 24  # of one example
LAYERS = 1000  # whose sizes an option lists
WEIGHTS = 1 << 30  # of an encoder and its decoder: 4 GiB


def require_bounded(what: str, size: int, bound: int) -> None:
    """Refuse what would take more memory than any model that is meant to be used."""
    if size > bound:
        raise SigmaeError(f"The {what} is {size:,}, over the bound of {bound:,}: choose a smaller one.")


def require_positive(option: str, *sizes: int) -> None:
    """Refuse layers without units, and endlessly many layers."""
    require_bounded(f"number of layers in the option {option}", len(sizes), LAYERS)
    if any(size < 1 for size in sizes):
        raise SigmaeError(f"The option {option} must be 1 or more, got {', '.join(map(str, sizes))}.")


def require_side(shape: tuple[int, ...], *sides: int) -> None:
    """Refuse images of other sizes than a network was published for."""
    if shape[1:] not in [(side, side) for side in sides]:
        wanted = " or ".join(f"{side} by {side}" for side in sides)
        remedy = " or ".join(f"--image-size {side}" for side in sides)
        raise SigmaeError(f"This network is for {wanted} images, got shape {shape}: add {remedy}.")
