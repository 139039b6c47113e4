"""Whether a network's probabilities can be believed, and temperature scaling to mend them.

After Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest

from kit.analysis.answers import Answers
from kit.errors import KitError

TEMPERATURES = (0.05, 20.0)  # the range searched: where all answers are right the best temperature would be 0


def wilson(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson interval of a share, (low, high) in 0 to 1; both NaN where there is no image."""
    if images == 0:
        return float("nan"), float("nan")
    interval = binomtest(int(right), int(images)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def reliability(answers: Answers, bins: int = 15) -> pd.DataFrame:
    """Accuracy and mean confidence in equally wide bins of confidence.

    Returns:
        A row a bin, empty ones too: low, high (the bin), images, confidence, accuracy, and accuracy_low and
        accuracy_high (Wilson, 95 %).
    """
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.ceil(answers.confidence * bins).astype(int) - 1, 0, bins - 1)  # (low, high]
    return pd.DataFrame([_bin(answers, place == k, edges[k], edges[k + 1]) for k in range(bins)])


def _bin(answers: Answers, inside: np.ndarray, low: float, high: float) -> dict[str, float]:
    images, right = int(inside.sum()), int(answers.right[inside].sum())
    interval = wilson(right, images)
    return {
        "low": low,
        "high": high,
        "images": images,
        "confidence": answers.confidence[inside].mean() if images else float("nan"),
        "accuracy": right / images if images else float("nan"),
        "accuracy_low": interval[0],
        "accuracy_high": interval[1],
    }


def expected_calibration_error(answers: Answers, bins: int = 15) -> float:
    """ECE, 0 to 1: the gap of accuracy and confidence in `reliability`'s bins, weighted by their images."""
    table = reliability(answers, bins)
    return float(((table.accuracy - table.confidence).abs() * table.images).sum() / len(answers))


def negative_log_likelihood(answers: Answers) -> float:
    """The mean of -log p(label), in nats."""
    return _cross_entropy(answers.logits, answers.labels)


def fit_temperature(answers: Answers) -> float:
    """The temperature T that makes softmax(logits / T) most likely, within TEMPERATURES."""
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda t: _cross_entropy(answers.logits / np.exp(t), answers.labels),
        bounds=(low, high),
        method="bounded",
    )
    return float(np.exp(found.x))


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, 1)[np.arange(len(labels)), labels].mean())


def scale(answers: Answers, temperature: float) -> Answers:
    """The same answers with their logits divided by `temperature`; the predicted classes stay."""
    return Answers(answers.logits / temperature, answers.labels, answers.classes)


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling, fitted on one half of the images and judged on the other.

    Attributes:
        temperature: above 1 where the network was too sure of itself, below 1 where it was too modest.
        before: the judging half's answers as they were.
        after: the same with the temperature applied.
        fitted: indices of the images the temperature was fitted on.
    """

    temperature: float
    before: Answers
    after: Answers
    fitted: ArrayLike

    @property
    def ece_before(self) -> float:
        return expected_calibration_error(self.before)

    @property
    def ece_after(self) -> float:
        return expected_calibration_error(self.after)

    def __str__(self) -> str:
        word = "too sure of itself" if self.temperature > 1 else "too modest"
        return (
            f"temperature {self.temperature:.2f} (the network is {word}), fitted on {len(self.fitted):,} "
            f"images; on the other {len(self.before):,} the ECE goes from {self.ece_before:.2%} to "
            f"{self.ece_after:.2%}"
        )


def calibrate(answers: Answers, seed: int = 0) -> Calibration:
    """Fit a temperature on a random half of the images and keep the other half to report on.

    Raises:
        KitError: there are fewer than two images.
    """
    if len(answers) < 2:
        raise KitError("temperature scaling needs two images or more: one to fit on and one to report on")
    order = np.random.default_rng(seed).permutation(len(answers))
    fitted, kept = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    temperature = fit_temperature(answers[fitted])
    return Calibration(temperature, answers[kept], scale(answers[kept], temperature), fitted)
