"""Expect a leaderboard score before a submission is used up.

There are two kinds of evidence:

1. A line through results that teams published: accuracy on CIFAR-10's test images against Kaggle score
   (leaderboard.csv, with sources).
2. The unlabelled test images themselves, after temperature scaling on the validation images: average confidence;
   difference of confidences (Guillory et al. 2021, arXiv:2107.03315); average thresholded confidence, ATC (Garg et al.
   2022, arXiv:2201.04234); and confidence after every class has got its share of the images, plain and thresholded
   (COT, COTT: Lu et al. 2023, arXiv:2305.15640).
"""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import log_softmax, softmax

from kit.analysis.answers import Answers, checked_logits
from kit.analysis.calibration import fit_temperature
from kit.analysis.optimaltransport import transported_confidence
from kit.errors import KitError

PUBLIC_IMAGES = 5012  # of the 10,000 test images in the public score, computed from the fractions of published scores
RESAMPLES = 200  # bootstrap samples


def leaderboard() -> pd.DataFrame:
    """Published results: edition, team, parameters, validation and kaggle (%), fit (bool), note, source.

    Rows without `fit` are shown but not fitted: networks that are listed with another number of views already, and one
    that was trained on blur and noise.
    """
    table = pd.read_csv(files("kit.analysis") / "leaderboard.csv")
    return table.astype({"fit": bool, "parameters": "Int64"}).fillna({"note": ""})


@dataclass(frozen=True)
class Line:
    """A least-squares line, Kaggle % = slope x validation % + intercept.

    Attributes:
        slope: Kaggle points per point of validation accuracy.
        intercept: in points.
        spread: standard deviation of the residuals (n - 2 degrees of freedom), in points.
        validation: the accuracies that it was fitted on, in %.
    """

    slope: float
    intercept: float
    spread: float
    validation: np.ndarray

    def predict(self, validation: ArrayLike) -> np.ndarray:
        """The expected Kaggle score, in %."""
        return self.slope * np.asarray(validation, dtype=float) + self.intercept

    def interval(self, validation: ArrayLike, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """The prediction interval for one more team (low, high), in %, within 0 to 100."""
        x, known = np.asarray(validation, dtype=float), self.validation
        distance = (x - known.mean()) ** 2 / ((known - known.mean()) ** 2).sum()
        t = stats.t.ppf((1 + confidence) / 2, len(known) - 2)
        half = t * self.spread * np.sqrt(1 + 1 / len(known) + distance)
        return np.clip(self.predict(x) - half, 0, 100), np.clip(self.predict(x) + half, 0, 100)


def fit_line(rows: pd.DataFrame | None = None) -> Line:
    """Fit the line to the rows of `leaderboard()`, or of `rows`, that are marked `fit`.

    Raises:
        KitError: fewer than three rows are marked, or all have the same validation accuracy.
    """
    rows = leaderboard() if rows is None else rows
    rows = rows[rows.fit]
    if len(rows) < 3 or rows.validation.nunique() < 2:
        raise KitError("a line with an interval needs three rows marked fit, of different validation accuracies")
    x, y = rows.validation.to_numpy(float), rows.kaggle.to_numpy(float)
    found = stats.linregress(x, y)
    residuals = y - found.slope * x - found.intercept
    spread = np.sqrt((residuals**2).sum() / (len(x) - 2))
    return Line(float(found.slope), float(found.intercept), float(spread), x)


def max_confidence(logits: ArrayLike) -> np.ndarray:
    """Log of the highest probability, (N,). The log still differs where probabilities round to 1."""
    return log_softmax(checked_logits(logits), 1).max(1)


def negative_entropy(logits: ArrayLike) -> np.ndarray:
    """Sum of p log p over the classes, (N,); 0 if the network is certain."""
    log_p = log_softmax(checked_logits(logits), 1)
    return (np.exp(log_p) * log_p).sum(1)


def atc_threshold(scores: ArrayLike, right: ArrayLike) -> float:
    """The threshold below which there are as many labelled images as there are wrong answers.

    Without a mistake it is the lowest score; if nothing is right, it is infinite.
    """
    ranked, mistakes = np.sort(np.asarray(scores)), int((~np.asarray(right)).sum())
    return float(ranked[mistakes]) if mistakes < len(ranked) else float("inf")


def average_thresholded_confidence(source_scores: ArrayLike, right: ArrayLike, scores: ArrayLike) -> float:
    """ATC: the share of unlabelled images whose score reaches the threshold of the labelled ones, 0 to 1.

    Args:
        source_scores: scores of the labelled images, (N,); larger means more confident.
        right: whether their answers are right, bool (N,).
        scores: scores of the unlabelled images, (M,).
    """
    return float((np.asarray(scores) >= atc_threshold(source_scores, right)).mean())


@dataclass(frozen=True)
class _Evidence:
    """Input of the methods without labels. Rows: confidence, its log, negative entropy, transported confidence."""

    source: np.ndarray  # (4, N)
    target: np.ndarray  # (4, M)
    right: np.ndarray  # bool (N,)

    def estimates(self, source: np.ndarray | slice, target: np.ndarray | slice) -> list[float]:
        right, known, unknown = self.right[source], self.source[:, source], self.target[:, target]
        average = unknown[0].mean()
        return [
            average,
            np.clip(right.mean() + average - known[0].mean(), 0, 1),
            average_thresholded_confidence(known[1], right, unknown[1]),
            average_thresholded_confidence(known[2], right, unknown[2]),
            unknown[3].mean(),
            average_thresholded_confidence(known[3], right, unknown[3]),
        ]


METHODS = ("average confidence", "difference of confidences", "ATC, max confidence", "ATC, negative entropy",
           "COT, known class shares", "COTT, known class shares")  # fmt: skip


def estimate_accuracy(source: Answers, target_logits: ArrayLike, resamples: int = RESAMPLES) -> pd.DataFrame:
    """Estimate the accuracy on unlabelled images by each of METHODS.

    COT and COTT assume that each class has the same share of the images as among the labelled ones.

    Args:
        source: answers about labelled images that the network was not trained on.
        target_logits: the same network's logits for the unlabelled images, (M, classes).
        resamples: bootstrap samples for the interval; with 0 it is NaN.

    Returns:
        One row per method: expected, low, high, in %. The interval (95 %) is for the random choice of images. It does
        not include the error of the method on other kinds of images, which tests/benchmarks/expected_score.py measures.

    Raises:
        KitError: the logits have other classes than the answers, or hold NaN.
    """
    evidence = _gather(source, target_logits)
    rng = np.random.default_rng(0)
    n, m = int(evidence.source.shape[1]), int(evidence.target.shape[1])
    samples = [evidence.estimates(rng.integers(n, size=n), rng.integers(m, size=m)) for _ in range(resamples)]
    low, high = np.percentile(samples, [2.5, 97.5], axis=0) if samples else np.full((2, len(METHODS)), np.nan)
    expected = evidence.estimates(slice(None), slice(None))
    columns = {"expected": expected, "low": low, "high": high}
    return 100 * pd.DataFrame(columns, index=pd.Index(METHODS, name="method"))


def _gather(source: Answers, target_logits: ArrayLike) -> _Evidence:
    target = checked_logits(target_logits)
    if target.shape[1] != len(source.classes):
        raise KitError(f"the unlabelled logits have {target.shape[1]} classes, the labelled {len(source.classes)}")
    temperature = fit_temperature(source)
    shares = np.bincount(source.labels, minlength=target.shape[1]) / len(source.labels)
    known, unknown = (_scores(logits / temperature, shares) for logits in (source.logits, target))
    return _Evidence(known, unknown, source.right)


def _scores(logits: np.ndarray, shares: np.ndarray) -> np.ndarray:
    log_confidence = max_confidence(logits)
    transported = transported_confidence(softmax(logits, 1), shares)
    return np.stack([np.exp(log_confidence), log_confidence, negative_entropy(logits), transported])


@dataclass(frozen=True)
class Forecast:
    """The expected leaderboard score.

    Attributes:
        table: one row per method, the published line first: expected, low, high, in %.
        verdict: what the estimates mean, in sentences.
    """

    table: pd.DataFrame
    verdict: str

    def __str__(self) -> str:
        return f"{self.table.round(2).to_string()}\n\n{self.verdict}"

    def as_record(self) -> dict[str, float]:
        """Expected scores in % by method, rounded to 0.01, for the ledger."""
        return {method: round(float(value), 2) for method, value in self.table.expected.items()}


LINE = "published line"


def forecast(source: Answers, target_logits: ArrayLike, validation: float | None = None) -> Forecast:
    """Expect a leaderboard score from the published line and from the unlabelled test images.

    This is valid for CIFAR-10 and this competition only, since the line was fitted on them.

    Args:
        source: answers about CIFAR-10's official test images (or others that the network did not train on).
        target_logits: logits of the same network, with the same views, for the competition's test images, (M, classes).
        validation: accuracy in % at which the line is read; by default that of `source`.

    Raises:
        KitError: the logits have other classes than the answers, or hold NaN.
    """
    validation = 100 * source.accuracy if validation is None else validation
    line = fit_line()
    low, high = line.interval(validation)
    row = {
        "expected": float(np.clip(line.predict(validation), 0, 100)),
        "low": float(low),
        "high": float(high),
    }
    table = pd.concat([pd.DataFrame(row, index=[LINE]), estimate_accuracy(source, target_logits)])
    table.index.name = "method"
    return Forecast(table, f"{_agreement(table)} {_reason(table, line, validation)} {_board_noise(table)}")


def _strays(table: pd.DataFrame) -> pd.Series:
    """The estimates from the test images that lie outside the published line's interval."""
    line, free = table.loc[LINE], table.expected.drop(LINE)
    return free[(free < line.low) | (free > line.high)]


def _agreement(table: pd.DataFrame) -> str:
    line, strays = table.loc[LINE], _strays(table)
    span = f"the published line expects {line.expected:.1f} % (95 % of teams: {line.low:.1f} to {line.high:.1f})"
    if strays.empty:
        return f"They agree: {span}, and every estimate from the test images lies inside."
    listed = "; ".join(f"{method} {value:.1f} %" for method, value in strays.items())
    return f"They disagree: {span}, but the test images alone say otherwise ({listed})."


def _reason(table: pd.DataFrame, line: Line, validation: float) -> str:
    lowest, highest = line.validation.min(), line.validation.max()
    if not lowest <= validation <= highest:
        return (
            f"The line is a guess here: its teams have {lowest:.2f} to {highest:.2f} % of validation "
            f"accuracy, and this network has {validation:.2f} %."
        )
    strays, expected = _strays(table), table.expected[LINE]
    if strays.empty:
        return "Expect the line's figure."
    if (strays > expected).all():
        return (
            "Such estimates are often too high, since networks are overconfident on photos of another kind. "
            "The line comes from real submissions, so expect its figure."
        )
    return (
        "Estimates that are too low often mean that the test file is read or normalised in another way than in "
        "training: look at its images beside their predictions before you submit."
    )


def _board_noise(table: pd.DataFrame) -> str:
    share = table.expected[LINE] / 100
    noise = 196 * np.sqrt(share * (1 - share) / PUBLIC_IMAGES)
    return (
        f"The public board scores {PUBLIC_IMAGES:,} images, so one score is uncertain by {noise:.1f} points "
        "either way (95 %): smaller differences on the board are noise."
    )
