"""Significance against formulas written out, scipy's own intervals, and the definition of Holm's correction."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from kit.ablation.significance import difference, holm, mean_interval, verdict

ROW = {1: 94.1, 2: 94.5, 3: 94.3}
OTHER = {1: 93.8, 2: 94.0, 3: 94.1}


def test_the_interval_of_a_mean_is_that_of_students_table():
    low, high = mean_interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)  # t of 97.5 % with 2 degrees of freedom; the deviation is 1
    assert (low, high) == pytest.approx((2 - half, 2 + half), abs=1e-6)
    values = [83.1, 84.9, 83.7, 84.2]
    assert mean_interval(values) == pytest.approx(stats.t.interval(0.95, 3, np.mean(values), stats.sem(values)))


def test_one_value_has_no_interval():
    assert np.isnan(mean_interval([94.0])).all()


def test_the_same_seeds_are_compared_seed_by_seed():
    found = difference(ROW, dict(reversed(OTHER.items())))  # whatever the order
    apart = np.array([0.3, 0.5, 0.2])
    error = apart.std(ddof=1) / math.sqrt(3)
    half = 4.302653 * error
    assert (found.test, found.seeds) == ("paired by seed", 3)
    assert (found.points, found.low, found.high) == pytest.approx((1 / 3, 1 / 3 - half, 1 / 3 + half), abs=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(apart.mean() / error, 2))


@pytest.mark.parametrize("extra", [{4: 99.0}, {4: 10.0, 5: 20.0}])
def test_more_seeds_of_one_row_leave_the_pairs_as_they_are(extra):
    pairs = difference(ROW, OTHER)
    assert difference(ROW | extra, OTHER) == pairs == difference(ROW, extra | OTHER)
    both = difference(ROW | extra, OTHER | {9: 94.0})
    assert (both.test, both.seeds) == ("Welch", 4)


def test_other_seeds_are_compared_as_welch_does():
    first, second = [94.1, 94.5, 94.3], [93.2, 94.4]
    found = difference(dict(enumerate(first, 1)), dict(enumerate(second, 3)))  # seed 3 is not enough to pair
    a, b = np.var(first, ddof=1) / 3, np.var(second, ddof=1) / 2
    freedom = (a + b) ** 2 / (a**2 / 2 + b**2 / 1)  # Welch-Satterthwaite
    points, half = np.mean(first) - np.mean(second), stats.t.ppf(0.975, freedom) * math.sqrt(a + b)
    assert (found.test, found.seeds) == ("Welch", 2)
    assert (found.points, found.low, found.high) == pytest.approx((points, points - half, points + half))
    assert found.p == pytest.approx(2 * stats.t.sf(points / math.sqrt(a + b), freedom))


@pytest.mark.parametrize(
    ("row", "other", "words"),
    [
        ({1: 94.0}, {1: 90.0}, "n = 1: cannot tell"),
        ({1: 94.0}, OTHER, "n = 1: cannot tell"),
        ({1: 94.2, 2: 94.1}, {1: 94.1, 2: 94.0}, "no spread: cannot tell"),
        (ROW, ROW, "no difference"),
    ],
)
def test_where_nothing_can_be_told_it_says_so(row, other, words):
    found = difference(row, other)
    assert np.isnan([found.low, found.high, found.p]).all() and found.test == "none"
    assert verdict(found, holm([found.p])[0]) == words


@pytest.mark.parametrize(
    ("sign", "corrected", "words"), [(1, 0.049, "better"), (-1, 0.049, "worse"), (1, 0.051, "within noise")]
)
def test_the_verdict_goes_by_the_corrected_p_value(sign, corrected, words):
    noisy = {seed: value + 0.01 * seed for seed, value in OTHER.items()}
    found = difference(OTHER, {seed: value - sign for seed, value in noisy.items()})
    assert found.p < 0.001
    assert verdict(found, corrected) == words
    gap = {"better": "larger", "worse": "smaller"}
    assert verdict(found, corrected, ("larger", "smaller")) == gap.get(words, words)


def test_holm_by_hand():
    corrected = holm([0.01, 0.04, float("nan"), 0.03])
    np.testing.assert_allclose(corrected, [0.03, 0.06, np.nan, 0.06])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_holm_is_bonferroni_in_every_subfamily(p):
    """Closed testing: a hypothesis falls when every family that holds it falls (Marcus, Peritz & Gabriel 1976)."""
    families = [f for size in range(1, len(p) + 1) for f in combinations(range(len(p)), size)]
    wanted = [max(min(len(f) * min(p[j] for j in f), 1) for f in families if i in f) for i in range(len(p))]
    np.testing.assert_allclose(holm(p), wanted)
