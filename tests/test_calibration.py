"""kit.analysis.calibration: against hand-computed cases, scikit-learn and torch's LBFGS."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from kit.analysis.answers import Answers
from kit.analysis.calibration import (
    TEMPERATURES,
    calibrate,
    cross_entropy,
    expected_calibration_error,
    fit_temperature,
    reliability,
    scale,
    wilson,
)
from kit.errors import KitError


def drawn(temperature, count=6000, seed=0):
    """Answers whose labels really follow softmax(logits / temperature)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2 * temperature, (count, 10))
    gumbel = rng.gumbel(size=logits.shape)
    return Answers(logits, (logits / temperature + gumbel).argmax(1))


def with_confidence(confidences, right):
    """Two-class answers with the given confidences."""
    p = np.asarray(confidences)
    return Answers(np.log(np.stack([p, 1 - p], 1)), np.where(right, 0, 1))


def test_wilson_is_the_textbook_interval():
    assert wilson(8, 10) == pytest.approx((0.4902, 0.9433), abs=5e-5)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=5e-5)
    assert np.isnan(wilson(0, 0)).all()


def test_ece_of_four_images_by_hand():
    answers = with_confidence([0.95, 0.95, 0.65, 0.65], [True, False, True, True])
    # bins of a tenth: (0.9, 1] has confidence 0.95 and accuracy 0.5; (0.6, 0.7] has 0.65 and 1
    assert expected_calibration_error(answers, bins=10) == pytest.approx((2 * 0.45 + 2 * 0.35) / 4)


def test_bins_agree_with_scikit_learn():
    answers = drawn(2.0)
    share, mean = calibration_curve(answers.right, answers.confidence, n_bins=15)
    table = reliability(answers)
    table = table[table.images > 0]
    np.testing.assert_allclose(table.accuracy, share)
    np.testing.assert_allclose(table.confidence, mean)
    assert ((table.low <= table.confidence) & (table.confidence <= table.high)).all()


def test_likelihood_agrees_with_scikit_learn():
    answers = drawn(1.0, 200)
    wanted = log_loss(answers.labels, answers.probabilities, labels=range(10))
    assert cross_entropy(answers.logits, answers.labels) == pytest.approx(wanted)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_true_temperature_is_found_again(temperature):
    assert fit_temperature(drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_the_temperature_is_that_of_another_optimiser():
    answers = drawn(2.0, 1000)
    logits, labels = torch.from_numpy(answers.logits), torch.from_numpy(answers.labels)
    log_t = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_t], max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(logits / log_t.exp(), labels)
        value.backward()
        return value

    optimizer.step(loss)
    assert fit_temperature(answers) == pytest.approx(log_t.exp().item(), rel=1e-3)


def test_calibration_is_reported_on_images_it_was_not_fitted_on():
    answers = Answers(np.arange(60.0).reshape(30, 2) * [[1, -1]], np.zeros(30, dtype=int))
    calibration = calibrate(answers)
    kept = np.setdiff1d(np.arange(30), calibration.fitted)
    assert len(calibration.fitted) == len(kept) == 15
    np.testing.assert_array_equal(calibration.before.logits, answers.logits[kept])


def test_ece_falls_and_no_prediction_changes():
    calibration = calibrate(drawn(2.5))
    assert calibration.temperature == pytest.approx(2.5, rel=0.1)
    assert calibration.ece_after < 0.25 * calibration.ece_before
    np.testing.assert_array_equal(calibration.before.predicted, calibration.after.predicted)
    assert "overconfident" in str(calibration)


@pytest.mark.parametrize(("right", "end"), [(True, 0), (False, 1)])
def test_all_right_or_all_wrong_stays_within_the_range(right, end):
    answers = with_confidence([0.9] * 6, [right] * 6)
    low, high = TEMPERATURES
    assert low <= fit_temperature(answers) <= high
    assert fit_temperature(answers) == pytest.approx(TEMPERATURES[end], rel=0.5)
    assert 0 <= calibrate(answers).ece_after <= 1


def test_two_images_are_enough_and_one_is_not():
    assert len(calibrate(drawn(1.0, 2)).before) == 1
    with pytest.raises(KitError, match="two images"):
        calibrate(drawn(1.0, 1))


@given(st.integers(1, 50), st.floats(0.1, 10), st.integers(1, 40))
def test_ece_is_a_share_whatever_the_answers(count, temperature, bins):
    answers = scale(drawn(1.0, count), temperature)
    assert 0 <= expected_calibration_error(answers, bins) <= 1
    assert reliability(answers, bins).images.sum() == count
