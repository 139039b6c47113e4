"""kit.analysis.mistakes: against scikit-learn, hand-computed cases and planted mistakes; and input at the edge."""

import numpy as np
import pytest
import torch
from sklearn import metrics

from kit.analysis import mistakes as analysis
from kit.analysis.answers import Answers
from kit.analysis.calibration import calibrate, wilson
from kit.errors import KitError
from kit.plots import mistakes, scores

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def answers():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 9, 800)  # no truck
    logits = rng.normal(size=(800, 10)) + 2 * np.eye(10)[labels]
    logits[:, 6] -= 100  # never predicted: frog
    return Answers(logits, labels, CLASSES)


def of(predicted, labels, confidence=0.9):
    """Three-class answers with the given predictions, all or each of a confidence."""
    rest = (1 - np.broadcast_to(confidence, (len(predicted), 1))) / 2
    p = np.where(np.eye(3, dtype=bool)[predicted], np.broadcast_to(confidence, (len(predicted), 1)), rest)
    return Answers(np.log(p), labels, ("cat", "dog", "frog"))


def test_confusion_agrees_with_scikit_learn(answers):
    for rates, normalize in ((False, None), (True, "true")):
        wanted = metrics.confusion_matrix(answers.labels, answers.predicted, labels=range(10), normalize=normalize)
        table = analysis.confusion(answers, rates)
        np.testing.assert_allclose(table.drop("truck"), wanted[:9])
    assert table.loc["truck"].isna().all()  # no image, so no share


def test_precision_recall_and_accuracy_agree_with_scikit_learn(answers):
    table = analysis.per_class(answers)
    precision, recall, _, support = metrics.precision_recall_fscore_support(
        answers.labels, answers.predicted, labels=range(10), zero_division=np.nan
    )
    np.testing.assert_allclose(table.precision, precision)
    np.testing.assert_allclose(table.recall, recall)
    np.testing.assert_array_equal(table.images, support)
    for k, accuracy in enumerate(table.accuracy):
        assert accuracy == metrics.accuracy_score(answers.labels == k, answers.predicted == k)
    assert np.isnan(table.loc["frog", ["precision", "precision_low", "precision_high"]]).all()


def test_intervals_hold_the_share_and_are_wilsons(answers):
    table = analysis.per_class(answers).drop(["frog", "truck"])
    for measure in ("precision", "recall", "accuracy"):
        assert table[measure].between(table[f"{measure}_low"], table[f"{measure}_high"]).all()
    cat = table.loc["cat"]
    assert (cat.recall_low, cat.recall_high) == wilson(round(cat.recall * cat.images), cat.images)


def test_confused_pairs_by_hand():
    answers = of([0, 1, 1, 1, 2, 2, 0], [0, 0, 0, 1, 2, 1, 2])
    pairs = analysis.confused_pairs(answers)
    assert pairs.to_dict("records") == [
        {"true": "cat", "predicted": "dog", "images": 2, "share": pytest.approx(2 / 3)},
        {"true": "dog", "predicted": "frog", "images": 1, "share": 0.5},
        {"true": "frog", "predicted": "cat", "images": 1, "share": 0.5},
    ]
    assert analysis.images_of_pair(answers, "cat", "dog").tolist() == [1, 2]
    with pytest.raises(KitError, match="no class 'cow'"):
        analysis.images_of_pair(answers, "cow", "dog")


def test_rankings_by_confidence_by_hand():
    answers = of([0, 0, 1, 1, 2], [0, 1, 1, 2, 0], np.array([[0.5], [0.7], [0.4], [0.9], [0.8]]))
    assert analysis.confident_mistakes(answers).tolist() == [3, 4, 1]
    assert analysis.confident_mistakes(answers, 1).tolist() == [3]
    assert analysis.doubtful_hits(answers).tolist() == [2, 0]


def test_accuracy_by_confidence_counts_every_image_and_mistake_once(answers):
    table = analysis.accuracy_by_confidence(answers)
    assert table.images.tolist() == [80] * 10
    assert (table.images * table.accuracy).sum() == pytest.approx(answers.right.sum())
    assert table.share_of_mistakes.sum() == pytest.approx(1)
    assert (table.to_confidence[:-1].to_numpy() <= table.from_confidence[1:].to_numpy()).all()


def test_planted_wrong_labels_are_suspicious():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 10, 1000)
    logits = rng.normal(size=(1000, 10)) + 8 * np.eye(10)[truth]
    planted = rng.choice(1000, 20, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + rng.integers(1, 10, 20)) % 10
    table = analysis.suspicious_labels(Answers(logits, labels, CLASSES), 20)
    assert set(table["index"]) <= set(planted) and len(table) >= 17
    assert table.suggestion.tolist() == [CLASSES[k] for k in truth[table["index"]]]
    assert table.quality.is_monotonic_increasing


def test_mcnemar_by_hand():
    labels = np.zeros(30, dtype=int)
    first, second = labels.copy(), labels.copy()
    first[:1], second[1:10], first[10:12], second[10:12] = 1, 1, 1, 1
    result = analysis.compare(of(first, labels), of(second, labels))
    assert result.only_first.tolist() == list(range(1, 10)) and result.only_second.tolist() == [0]
    assert (result.both_right, result.both_wrong) == (18, 2)
    assert result.p_value == pytest.approx(2 * (1 + 10) / 2**10)  # 0 or 1 of 10 fair coins, both tails
    assert "the first is better" in str(result)


def test_equal_runs_are_not_told_apart_and_other_images_are_refused(answers):
    result = analysis.compare(answers, answers)
    assert result.p_value == 1 and "does not tell them apart" in str(result)
    with pytest.raises(KitError, match="same images"):
        analysis.compare(answers, answers[::-1])


EDGES = {
    "one class only": ([0, 1, 0, 2], [0, 0, 0, 0]),
    "all right": ([0, 1, 2, 1], [0, 1, 2, 1]),
    "all wrong": ([1, 2, 0, 0], [0, 1, 2, 1]),
    "two images": ([0, 1], [0, 2]),
    "one image": ([0], [1]),
}


@pytest.mark.parametrize("edge", EDGES)
def test_input_at_the_edge_gives_figures_and_tables(edge, tmp_path):
    answers = of(*EDGES[edge])
    images = torch.zeros(len(answers), 3, 32, 32, dtype=torch.uint8)
    suspects, wrong = analysis.suspicious_labels(answers), analysis.confident_mistakes(answers)
    drawn = [
        mistakes.confusion_matrix(answers),
        mistakes.class_measures(answers),
        mistakes.gallery(images, answers, wrong, "Mistakes"),
        mistakes.gallery(images, answers, analysis.doubtful_hits(answers), "Hits"),
        mistakes.confused_examples(images, answers),
        mistakes.heat_maps(images, torch.zeros(len(wrong), 32, 32), answers, wrong),
        mistakes.suspicious(images, suspects),
        mistakes.comparison(analysis.compare(answers, answers)),
        scores.confidence_parts(answers),
    ]
    if len(answers) > 1:
        drawn.append(scores.reliability_diagram(calibrate(answers)))
    for figure in drawn:
        figure.savefig(tmp_path / "figure.png", dpi=30)


@pytest.mark.parametrize(
    ("logits", "labels", "sentence"),
    [
        ([[np.nan, 0.0], [0.0, 1.0]], [0, 1], "1 of 2 images hold NaN"),
        ([[np.inf, 0.0], [0.0, 1.0]], [0, 1], "1 of 2 images hold NaN or infinity"),
        (np.zeros((0, 10)), [], "an image and two classes or more"),
        (np.zeros(10), [0], "logits have to be"),
        (np.zeros((2, 3)), [0, 3], "labels have to be from 0 to 2, not 0 to 3"),
        (np.zeros((2, 3)), [0], "labels have to be 2 whole numbers"),
        (np.zeros((2, 3)), [0.0, 1.0], "whole numbers"),
    ],
)
def test_answers_that_cannot_be_used_are_told_in_a_sentence(logits, labels, sentence):
    with pytest.raises(KitError, match=sentence):
        Answers(logits, labels)


def test_tensors_of_any_kind_are_answers():
    logits = torch.tensor([[1.0, 3.0], [2.0, 0.5]], dtype=torch.bfloat16, requires_grad=True)
    assert Answers(logits, torch.tensor([1, 1])).right.tolist() == [True, False]


def test_class_names_have_to_fit():
    with pytest.raises(KitError, match="10 class names do not fit logits of 3 classes"):
        Answers(np.zeros((1, 3)), [0], CLASSES)
