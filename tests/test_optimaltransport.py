"""Optimal transport of answers: the mean against scipy's exact assignment, and shares that leave a class out."""

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import softmax

from kit.analysis.optimaltransport import transported_confidence


def answers(count, classes=5, seed=0, sharpness=3):
    """Probabilities of a network that favours class 0."""
    rng = np.random.default_rng(seed)
    return softmax(sharpness * (rng.normal(size=(count, classes)) + 0.7 * np.eye(classes)[0]), axis=1)


@pytest.mark.parametrize("sharpness", [1, 3, 30])
@pytest.mark.parametrize("counts", [[60] * 5, [20, 100, 30, 50, 100], [0, 150, 150, 0, 0]])
def test_the_mean_is_that_of_the_exact_assignment(counts, sharpness):
    probabilities = answers(300, sharpness=sharpness)
    columns = np.repeat(probabilities, counts, axis=1)
    exact = columns[linear_sum_assignment(-columns)].mean()
    ours = transported_confidence(probabilities, np.array(counts) / 300)
    assert ours.mean() == pytest.approx(exact, abs=0.0017)  # log(5) times the smoothing
    assert exact < probabilities.max(1).mean() - 0.01  # the shares make a difference


def test_shares_that_the_answers_have_already_leave_the_confidence():
    probabilities = answers(2000)
    own = np.bincount(probabilities.argmax(1)) / 2000
    np.testing.assert_allclose(transported_confidence(probabilities, own), probabilities.max(1), atol=0.002)


def test_all_of_one_class():
    probabilities = answers(50)
    np.testing.assert_allclose(transported_confidence(probabilities, np.eye(5)[3]), probabilities[:, 3], atol=1e-3)


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_images_than_classes_are_cut_between_them(count):
    found = transported_confidence(np.eye(3)[:count], np.full(3, 1 / 3))
    assert found.mean() == pytest.approx(count / 3, abs=0.01)
