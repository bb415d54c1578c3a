"""Training: the loop, its state on disk, and what it needs from the machine."""

from sigmae.signals import Interrupted
from sigmae.training.loop import check_fit, make_fabric, Report, train

__all__ = ["Interrupted", "Report", "check_fit", "make_fabric", "train"]
