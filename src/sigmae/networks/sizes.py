"""What a network's sizes must be."""

from sigmae.errors import SigmaeError


def require_positive(option: str, *sizes: int) -> None:
    """Refuse layers without units."""
    if any(size < 1 for size in sizes):
        raise SigmaeError(f"The option {option} must be 1 or more, got {', '.join(map(str, sizes))}.")


def require_side(shape: tuple[int, ...], *sides: int) -> None:
    """Refuse images of other sizes than a network was published for."""
    if shape[1:] not in [(side, side) for side in sides]:
        wanted = " or ".join(f"{side} by {side}" for side in sides)
        remedy = " or ".join(f"--image-size {side}" for side in sides)
        raise SigmaeError(f"This network is for {wanted} images, got shape {shape}: add {remedy}.")
