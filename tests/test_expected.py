"""kit.analysis.expected: the published line, the label-free estimates, two known mistakes of ATC's reference code."""

import numpy as np
import pytest
from scipy import stats

from kit.analysis.answers import Answers
from kit.analysis.expected import (
    LINE,
    METHODS,
    PUBLIC_IMAGES,
    atc_threshold,
    average_thresholded_confidence,
    estimate_accuracy,
    fit_line,
    forecast,
    leaderboard,
    max_confidence,
    negative_entropy,
)
from kit.errors import KitError
from kit.plots import scores


def calibrated(margin, count=4000, seed=0, classes=10):
    """Answers whose labels follow their own softmax; a larger margin makes them surer and more often right."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), rng.integers(classes, size=count)] += rng.normal(margin, 3, count).clip(0)
    return Answers(logits, (logits + rng.gumbel(size=logits.shape)).argmax(1))


def test_every_published_row_has_its_source():
    rows = leaderboard()
    assert len(rows) == 18 and rows.fit.sum() == 15
    assert rows.source.str.len().min() > 10 and rows[["validation", "kaggle"]].notna().all(axis=None)


def test_the_refitted_line_is_the_published_one():
    line = fit_line()
    assert (round(line.slope, 3), round(line.intercept, 1), round(line.spread, 2)) == (1.696, -76.7, 1.03)


def test_the_papers_drop_lies_inside_the_interval():
    low, high = fit_line().interval(96.95)
    assert low < 87.39 < high
    assert high - low < 6  # and the interval says something


def test_the_interval_is_that_of_matrix_algebra():
    rows, line = leaderboard(), fit_line()
    rows = rows[rows.fit]
    design = np.column_stack([np.ones(len(rows)), rows.validation])
    coefficients, (rss,), *_ = np.linalg.lstsq(design, rows.kaggle, rcond=None)
    variance = rss / (len(rows) - 2)
    for x in (90.0, 95.5, 98.5):
        point = np.array([1, x])
        sd = np.sqrt(variance * (1 + point @ np.linalg.inv(design.T @ design) @ point))
        half = stats.t.ppf(0.975, len(rows) - 2) * sd
        np.testing.assert_allclose(line.interval(x), (point @ coefficients - half, point @ coefficients + half))


def test_a_line_needs_three_different_rows():
    with pytest.raises(KitError, match="three rows"):
        fit_line(leaderboard().head(2))
    with pytest.raises(KitError, match="different validation"):
        fit_line(leaderboard().assign(validation=95.0))


def test_scores_by_hand_and_without_nan_at_certainty():
    logits = np.log([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    np.testing.assert_allclose(max_confidence(logits), np.log([0.5, 0.6]))
    wanted = [0.5 * np.log(0.5) + 0.5 * np.log(0.25), 0.4 * np.log(0.2) + 0.6 * np.log(0.6)]
    np.testing.assert_allclose(negative_entropy(logits), wanted)
    certain = [[1e4, 0.0, -1e4]]  # p log p with p = 0
    assert negative_entropy(certain) == max_confidence(certain) == 0


def test_threshold_leaves_as_many_below_as_are_wrong():
    scores, right = np.array([0.9, 0.3, 0.5, 0.7, 0.8]), np.array([True, True, False, False, True])
    assert atc_threshold(scores, right) == 0.7
    assert average_thresholded_confidence(scores, right, [0.69, 0.7, 0.95, 0.1]) == 0.5


@pytest.mark.parametrize("score", [max_confidence, negative_entropy])
def test_on_its_own_images_atc_gives_the_accuracy_itself(score):
    answers = calibrated(2)
    values = score(answers.logits)
    assert average_thresholded_confidence(values, answers.right, values) == answers.accuracy


@pytest.mark.parametrize("score", [max_confidence, negative_entropy])
def test_without_mistakes_the_threshold_is_the_lowest_score_not_zero(score):
    source = Answers(np.log([[0.8, 0.1, 0.1], [0.9, 0.05, 0.05]]), [0, 0])
    target = np.log([[0.85, 0.1, 0.05], [0.4, 0.3, 0.3]])  # one as sure as the source, one far from it
    known = score(source.logits)
    assert atc_threshold(known, source.right) == known.min()
    assert average_thresholded_confidence(known, source.right, score(target)) == 0.5


def test_with_nothing_right_atc_expects_nothing():
    assert average_thresholded_confidence([0.2, 0.9], [False, False], [0.5, 0.99]) == 0


@pytest.mark.parametrize("factor", [0.3, 4.0])
def test_the_fitted_calibrator_is_applied(factor):
    """Logits scaled on both sides calibrate to the same probabilities; raw confidences would move by points."""
    source, target = calibrated(2), calibrated(1, seed=1)
    plain = estimate_accuracy(source, target.logits, resamples=0)
    scaled = estimate_accuracy(Answers(factor * source.logits, source.labels), factor * target.logits, 0)
    np.testing.assert_allclose(plain.expected, scaled.expected, atol=0.02)
    raw = np.exp(max_confidence(factor * target.logits)).mean()
    assert abs(100 * raw - plain.expected["average confidence"]) > 3


def test_where_calibration_survives_the_shift_confidences_are_right_and_atc_is_near():
    source, target = calibrated(6), calibrated(4, seed=1)
    assert source.accuracy - target.accuracy > 0.1
    table = estimate_accuracy(source, target.logits)
    np.testing.assert_allclose(table.expected.iloc[:2], 100 * target.accuracy, atol=2)
    np.testing.assert_allclose(table.expected.iloc[2:], 100 * target.accuracy, atol=5)
    assert (table.low < table.expected).all() and (table.expected < table.high).all()
    assert tuple(table.index) == METHODS


def test_transport_sees_a_class_that_is_favoured_where_confidence_does_not():
    source, target = calibrated(6), calibrated(6, seed=1)
    favoured = Answers(target.logits + 6 * np.eye(10)[0], target.labels)
    errors = (estimate_accuracy(source, favoured.logits, 0).expected - 100 * favoured.accuracy).abs()
    assert target.accuracy - favoured.accuracy > 0.1
    for transported, usual in zip(METHODS[4:], (METHODS[0], METHODS[2]), strict=True):
        assert errors[transported] < 0.7 * errors[usual]


def test_difference_of_confidences_is_the_source_accuracy_moved():
    source, target = calibrated(2), calibrated(1, seed=1)
    table = estimate_accuracy(source, target.logits, 0).expected
    own = estimate_accuracy(source, source.logits, 0).expected
    moved = 100 * source.accuracy + table["average confidence"] - own["average confidence"]
    assert table["difference of confidences"] == pytest.approx(moved)


def forecast_of(estimates_at, validation):
    return forecast(calibrated(6), calibrated(estimates_at, seed=1).logits, validation)


def test_agreement_and_the_boards_noise_are_said():
    expected = estimate_accuracy(calibrated(6), calibrated(3, seed=1).logits, 0).expected.mean()
    line = fit_line()
    result = forecast_of(3, (expected - line.intercept) / line.slope)
    assert result.verdict.startswith("They agree: the published line expects")
    assert (
        f"{PUBLIC_IMAGES:,} images" in result.verdict and "smaller differences on the board are noise" in result.verdict
    )
    assert result.table.index[0] == LINE and len(result.table) == 1 + len(METHODS)
    assert set(result.as_record()) == {LINE, *METHODS}
    scores.forecast_intervals(result)


def test_disagreement_is_said_plainly_with_its_usual_reason():
    high = forecast_of(8, 94.0)
    assert high.verdict.startswith("They disagree") and "expect its figure" in high.verdict
    low = forecast_of(0, 97.0)
    assert low.verdict.startswith("They disagree") and "read or normalised in another way" in low.verdict


@pytest.mark.parametrize("validation", [60.0, 99.5])
def test_a_line_outside_its_rows_is_called_a_guess(validation):
    assert "The line is a guess here" in forecast_of(3, validation).verdict


@pytest.mark.parametrize(
    "labels", [[0, 0, 0, 0], [0, 1, 2, 1], [1, 2, 0, 0]], ids=["one class only", "all right", "all wrong"]
)
def test_input_at_the_edge_gives_figures(labels):
    source = Answers(4 * np.eye(3)[[0, 1, 2, 1]], labels)
    result = forecast(source, 2 * np.eye(3)[[0, 1]])
    assert result.table.expected.between(0, 100).all() and str(result)
    scores.forecast_intervals(result)


def test_unusable_unlabelled_logits_are_told_in_a_sentence():
    with pytest.raises(KitError, match="NaN"):
        estimate_accuracy(calibrated(2), [[np.nan] * 10])
    with pytest.raises(KitError, match="3 classes, the labelled 10"):
        estimate_accuracy(calibrated(2), np.zeros((2, 3)))
