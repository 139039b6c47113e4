"""Which differences between accuracies of a few seeds are more than noise: t-intervals, t-tests, Holm's correction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
ALIKE = 1e-9  # points; smaller differences are rounding: one image is 0.01 points
NAN = float("nan")
WORDS = ("better", "worse")  # of accuracies


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95 % t-interval of the mean (low, high); (nan, nan) for one value."""
    if len(values) < 2:
        return NAN, NAN
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values)
    return float(np.mean(values) - half), float(np.mean(values) + half)


@dataclass(frozen=True)
class Difference:
    """The difference of the means of two rows.

    Attributes:
        points: first mean minus second mean.
        low: lower end of its 95 % interval; nan if there are too few seeds, or no spread.
        high: upper end.
        p: two-sided p-value, without correction; nan like `low`.
        seeds: if paired, the number of common seeds; otherwise the smaller number of seeds.
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
        """The name of the test."""
        if np.isnan(self.p):
            return "none"
        return "paired by seed" if self.paired else "Welch"


def difference(values: Mapping[int, float], reference: Mapping[int, float]) -> Difference:
    """Compare two rows: by a paired t-test if one has all seeds of the other, and at least two; otherwise by Welch's.

    The paired test takes the common seeds only, so that an additional seed of one row does not prevent pairing.

    Args:
        values: accuracy by seed, for one seed or more.
        reference: the same for the row to compare with; empty if it did not run.
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
    """Holm's step-down correction of a family of p-values (Holm 1979); nan stays nan and does not count."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # nan sorts last
    corrected = np.full(p.shape, NAN)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)), 1)
    return corrected


def verdict(found: Difference, corrected: float, words: tuple[str, str] = WORDS) -> str:
    """Whether a difference is more than noise, in words.

    Args:
        found: the difference.
        corrected: its p-value after correction for the family.
        words: the verdict if the first is higher, and if it is lower.
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
