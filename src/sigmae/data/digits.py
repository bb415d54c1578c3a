"""Digits: 1,797 real handwritten digits that ship with scikit-learn."""

import numpy as np
import torch

from sigmae.data.dataset import Dataset, Split
from sigmae.data.splits import divided


def load_digits() -> Dataset:
    """8 x 8 gray images with labels, their values 0 to 16 rounded to uint8 0 to 255."""
    from sklearn import datasets

    digits = datasets.load_digits()
    images = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8))
    labels = torch.from_numpy(digits.target.astype(np.int64))
    return divided("digits", Split(images.unsqueeze(1), labels), tuple("0123456789"))
