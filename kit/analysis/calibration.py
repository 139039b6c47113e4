"""Calibration: whether a network's probabilities match its accuracy, and temperature scaling to correct them.

After Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest

from kit.analysis.answers import Answers
from kit.errors import KitError

TEMPERATURES = (0.05, 20.0)  # the range searched: if all answers are right, the best temperature would be 0


def wilson(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """The Wilson interval of a share, (low, high) in 0 to 1; both NaN if there is no image."""
    if images == 0:
        return float("nan"), float("nan")
    interval = binomtest(int(right), int(images)).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def reliability(answers: Answers, bins: int = 15) -> pd.DataFrame:
    """Accuracy and mean confidence in equally wide bins of confidence.

    Returns:
        One row per bin, also for empty ones: low, high (the bin), images, confidence, accuracy, and accuracy_low and
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
    """ECE, 0 to 1: mean distance of accuracy and confidence over `reliability`'s bins, weighted by their images."""
    table = reliability(answers, bins)
    return float(((table.accuracy - table.confidence).abs() * table.images).sum() / len(answers))


def fit_temperature(answers: Answers) -> float:
    """The temperature T, within TEMPERATURES, for which softmax(logits / T) gives the labels the highest likelihood."""
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(
        lambda t: cross_entropy(answers.logits / np.exp(t), answers.labels),
        bounds=(low, high),
        method="bounded",
    )
    return float(np.exp(found.x))


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The mean of -log p(label), in nats; logits (N, classes), labels int64 (N,)."""
    return float(-log_softmax(logits, 1)[np.arange(len(labels)), labels].mean())


def scale(answers: Answers, temperature: float) -> Answers:
    """The same answers with their logits divided by `temperature`; the predicted classes stay."""
    return Answers(answers.logits / temperature, answers.labels, answers.classes)


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling, fitted on one half of the images and evaluated on the other.

    Attributes:
        temperature: above 1 if the network was overconfident, below 1 if it was underconfident.
        before: the answers about the other half, without temperature scaling.
        after: the same answers with it.
        fitted: indices of the images that the temperature was fitted on.
    """

    temperature: float
    before: Answers
    after: Answers
    fitted: np.ndarray

    @property
    def ece_before(self) -> float:
        return expected_calibration_error(self.before)

    @property
    def ece_after(self) -> float:
        return expected_calibration_error(self.after)

    def __str__(self) -> str:
        word = "overconfident" if self.temperature > 1 else "underconfident"
        return (
            f"temperature {self.temperature:.2f} (the network is {word}), fitted on {len(self.fitted):,} "
            f"images; on the other {len(self.before):,} the ECE goes from {self.ece_before:.2%} to "
            f"{self.ece_after:.2%}"
        )


def calibrate(answers: Answers, seed: int = 0) -> Calibration:
    """Fit a temperature on a random half of the images; the other half is for the report.

    Raises:
        KitError: there are fewer than two images.
    """
    if len(answers) < 2:
        raise KitError("temperature scaling needs two images or more: one to fit on and one to report on")
    order = np.random.default_rng(seed).permutation(len(answers))
    fitted, kept = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    temperature = fit_temperature(answers[fitted])
    return Calibration(temperature, answers[kept], scale(answers[kept], temperature), fitted)
