"""Training: the loop, its state on disk, and what it needs from the machine."""

from sigmae.signals import Interrupted
from sigmae.training.engine import make_fabric
from sigmae.training.loop import check_fit, Report, train
from sigmae.training.together import can_train_together, train_together

__all__ = [
    "Interrupted",
    "Report",
    "can_train_together",
    "check_fit",
    "make_fabric",
    "train",
    "train_together",
]
