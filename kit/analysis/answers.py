"""A network's answers about labelled images, checked once, so that the analyses need not check again."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from kit.errors import KitError


class Answers:
    """Logits, labels and class names of the same images.

    Attributes:
        logits: float64 (N, classes).
        labels: int64 (N,), from 0.
        classes: the name of each class.

    Raises:
        KitError: the shapes do not fit, there is no image, a label has no class, or a logit is NaN or infinite.
    """

    def __init__(self, logits: ArrayLike, labels: ArrayLike, classes: Sequence[str] | None = None):
        self.logits = checked_logits(logits)
        self.classes = tuple(classes) if classes is not None else tuple(map(str, range(self.logits.shape[1])))
        self.labels = _checked_labels(labels, *self.logits.shape)
        if len(self.classes) != self.logits.shape[1]:
            raise KitError(f"{len(self.classes)} class names do not fit logits of {self.logits.shape[1]} classes")

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, chosen: np.ndarray | slice) -> "Answers":
        """The answers about some of the images, chosen by indices or a mask."""
        return Answers(self.logits[chosen], self.labels[chosen], self.classes)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Softmax of the logits, (N, classes)."""
        return np.exp(log_softmax(self.logits, 1))

    @cached_property
    def predicted(self) -> np.ndarray:
        """The most likely class, int64 (N,)."""
        return self.logits.argmax(1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """The probability of the predicted class, (N,)."""
        return self.probabilities.max(1)

    @cached_property
    def right(self) -> np.ndarray:
        """Whether the predicted class is the label, bool (N,)."""
        return self.predicted == self.labels

    @property
    def accuracy(self) -> float:
        """The share of right answers, 0 to 1."""
        return float(self.right.mean())


def _array(values: ArrayLike) -> np.ndarray:
    """`values` as an array; tensors may be on a GPU, need gradients or have a type that numpy lacks."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
    return np.asarray(values)


def checked_logits(logits: ArrayLike) -> np.ndarray:
    """Logits as finite float64 (N, classes), N from 1.

    Raises:
        KitError: they have another shape, or hold NaN or infinity.
    """
    array = _array(logits).astype(np.float64)
    if array.ndim != 2 or not len(array) or array.shape[1] < 2:
        raise KitError(f"logits have to be (N, classes) with an image and two classes or more, not {array.shape}")
    bad = int((~np.isfinite(array)).any(1).sum())
    if bad:
        raise KitError(
            f"the logits of {bad} of {len(array)} images hold NaN or infinity: the training diverged or the "
            "weights are damaged; train again with a smaller lr before analysing"
        )
    return array


def _checked_labels(labels: ArrayLike, images: int, classes: int) -> np.ndarray:
    array = _array(labels)
    if array.shape != (images,) or not np.issubdtype(array.dtype, np.integer):
        raise KitError(f"labels have to be {images} whole numbers, one per image, not {array.dtype} {array.shape}")
    if array.min() < 0 or array.max() >= classes:
        raise KitError(f"labels have to be from 0 to {classes - 1}, not {array.min()} to {array.max()}")
    return array.astype(np.int64)
