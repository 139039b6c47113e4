"""Which differences between accuracies of a few seeds are more than noise: t-intervals, t-tests, Holm's correction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
ALIKE = 1e-9  # points: rounding, where an image more or less is 0.01
NAN = float("nan")
WORDS = ("better", "worse")  # of accuracies


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % t-interval of the mean (low, high); of one value (nan, nan)."""
    if len(values) < 2:
        return NAN, NAN
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return float(np.mean(values) - half), float(np.mean(values) + half)


@dataclass(frozen=True)
class Difference:
    """How far the mean of one row lies from that of another.

    Attributes:
        points: difference of the means, positive where the first is higher.
        low: lower end of its 95 % interval; nan where nothing can be told.
        high: upper end.
        p: two-sided p-value, without correction; nan where nothing can be told.
        seeds: how many seeds both have where they are paired, otherwise the smaller number of the two.
        paired: whether the rows were compared seed by seed.
    """

    points: float
    low: float
    high: float
    p: float
    seeds: int
    paired: bool

    @property
    def test(self) -> str:
        """What it was tested with, in words."""
        if np.isnan(self.p):
            return "none"
        return "paired by seed" if self.paired else "Welch"


def difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """Compare two rows: a paired t-test where one has all seeds of the other, at least two, otherwise Welch's.

    Paired, only the common seeds count, so that one seed more of one row does not give up the pairs of all others.

    Args:
        values: accuracy by seed, of one seed or more.
        reference: the same of the row to compare with; empty where that did not run.
    """
    if not reference:
        return Difference(NAN, NAN, NAN, NAN, 0, False)
    common = [seed for seed in values if seed in reference]
    seeds = min(len(values), len(reference))
    paired = 2 <= len(common) == seeds
    first = np.array([values[seed] for seed in (common if paired else values)])
    second = np.array([reference[seed] for seed in (common if paired else reference)])
    points = float(first.mean() - second.mean())
    spread = np.ptp(first - second) if paired else np.ptp(first) + np.ptp(second)
    if seeds < 2 or spread < ALIKE:
        return Difference(points, NAN, NAN, NAN, seeds, paired)
    test = stats.ttest_rel(first, second) if paired else stats.ttest_ind(first, second, equal_var=False)
    low, high = test.confidence_interval(CONFIDENCE)
    return Difference(points, float(low), float(high), float(test.pvalue), seeds, paired)


def holm(p: ArrayLike) -> np.ndarray:
    """Holm's step-down correction of a family of p-values (Holm 1979); nan is no member of it and stays nan."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # nan sorts last
    corrected = np.full(p.shape, NAN)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return corrected


def verdict(found: Difference, corrected: float, words: tuple[str, str] = WORDS) -> str:
    """What a difference says, in words.

    Args:
        found: the difference.
        corrected: its p-value after correction for the family.
        words: for the first being higher, and lower.
    """
    if not found.seeds:
        return "nothing to compare with"
    if found.seeds < 2:
        return "n = 1: cannot tell"
    if np.isnan(found.p):
        return "no spread: cannot tell" if abs(found.points) > ALIKE else "no difference"
    if corrected >= 1 - CONFIDENCE:
        return "within noise"
    return words[0] if found.points > 0 else words[1]
