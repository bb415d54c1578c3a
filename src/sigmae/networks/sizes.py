"""What a network's sizes must be."""

from sigmae.errors import SigmaeError


def require_positive(option: str, *sizes: int) -> None:
    """Refuse layers without units."""
    if any(size < 1 for size in sizes):
        raise SigmaeError(f"The option {option} must be 1 or more, got {', '.join(map(str, sizes))}.")
