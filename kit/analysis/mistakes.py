"""A network's mistakes: by class and pair of classes, images, labels that look wrong, and two runs compared.

Everything here works on `Answers` (logits, labels, class names), for one run as for an average of several.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from kit.analysis.answers import Answers
from kit.analysis.calibration import wilson
from kit.errors import KitError


def confusion(answers: Answers, rates: bool = False) -> pd.DataFrame:
    """Number of images by true class (rows) and predicted class (columns).

    Args:
        rates: True gives shares of each row instead of counts; NaN for a class without images.
    """
    classes = len(answers.classes)
    counts = np.bincount(answers.labels * classes + answers.predicted, minlength=classes**2)
    table = pd.DataFrame(
        counts.reshape(classes, classes),
        index=pd.Index(answers.classes, name="true"),
        columns=pd.Index(answers.classes, name="predicted"),
    )
    return table.div(table.sum(axis=1).replace(0, np.nan), axis=0) if rates else table


def per_class(answers: Answers) -> pd.DataFrame:
    """Recall, precision and accuracy of every class, each with its 95 % Wilson interval.

    Recall is the share of the class's images that are recognised (often called the class's accuracy), precision the
    share of its predictions that are right, and accuracy the share of all images that are correctly predicted to be of
    the class, or not to be.

    Returns:
        One row per class: images, predictions, and for each measure its value, `_low` and `_high`. A share of nothing,
        such as the precision of a class that was never predicted, is NaN.
    """
    counts = confusion(answers).to_numpy()
    hits, images, predictions = counts.diagonal(), counts.sum(1), counts.sum(0)
    measures = {
        "recall": (hits, images),
        "precision": (hits, predictions),
        "accuracy": (len(answers) - images - predictions + 2 * hits, np.full_like(hits, len(answers))),
    }
    table = pd.DataFrame({"images": images, "predictions": predictions}, index=pd.Index(answers.classes, name="class"))
    for name, (right, total) in measures.items():
        table[name] = right / np.where(total, total, np.nan)
        table[f"{name}_low"], table[f"{name}_high"] = zip(*map(wilson, right, total), strict=True)
    return table


def confused_pairs(answers: Answers, count: int = 10) -> pd.DataFrame:
    """The most frequent mistakes, at most `count`: true, predicted, images, share of the true class."""
    counts, shares = confusion(answers).stack(), confusion(answers, rates=True).stack()
    table = pd.DataFrame({"images": counts, "share": shares.reindex(counts.index)}).reset_index()
    wrong = table[(table.true != table.predicted) & (table.images > 0)]
    return wrong.sort_values("images", ascending=False, kind="stable").head(count).reset_index(drop=True)


def images_of_pair(answers: Answers, true: str, predicted: str) -> np.ndarray:
    """Indices of the images of class `true` taken for `predicted`, the most confident first.

    Raises:
        KitError: a name is not one of the classes.
    """
    for name in (true, predicted):
        if name not in answers.classes:
            raise KitError(f"there is no class {name!r}: choose from {', '.join(answers.classes)}")
    chosen = (answers.labels == answers.classes.index(true)) & (answers.predicted == answers.classes.index(predicted))
    return _ranked(np.flatnonzero(chosen), -answers.confidence)


def confident_mistakes(answers: Answers, count: int = 25) -> np.ndarray:
    """Indices of the wrong answers, at most `count`, the most confident first."""
    return _ranked(np.flatnonzero(~answers.right), -answers.confidence)[:count]


def doubtful_hits(answers: Answers, count: int = 25) -> np.ndarray:
    """Indices of the right answers, at most `count`, the least confident first."""
    return _ranked(np.flatnonzero(answers.right), answers.confidence)[:count]


def _ranked(indices: np.ndarray, key: np.ndarray) -> np.ndarray:
    return indices[np.argsort(key[indices], kind="stable")]


def accuracy_by_confidence(answers: Answers, parts: int = 10) -> pd.DataFrame:
    """Accuracy from the least to the most confident images, in parts of equally many images.

    Returns:
        One row per part (fewer parts if there are fewer images): images, from_confidence, to_confidence, accuracy,
        accuracy_low, accuracy_high (Wilson, 95 %), and share_of_mistakes, its share of all mistakes.
    """
    groups = np.array_split(np.argsort(answers.confidence, kind="stable"), min(parts, len(answers)))
    mistakes = max(int((~answers.right).sum()), 1)
    return pd.DataFrame([_part(answers, group, mistakes) for group in groups])


def _part(answers: Answers, group: np.ndarray, mistakes: int) -> dict[str, float]:
    right = int(answers.right[group].sum())
    low, high = wilson(right, len(group))
    return {
        "images": len(group),
        "from_confidence": answers.confidence[group].min(),
        "to_confidence": answers.confidence[group].max(),
        "accuracy": right / len(group),
        "accuracy_low": low,
        "accuracy_high": high,
        "share_of_mistakes": (len(group) - right) / mistakes,
    }


def suspicious_labels(answers: Answers, count: int = 25) -> pd.DataFrame:
    """Images whose label looks wrong, at most `count`, by confident learning.

    Northcutt et al. 2021 (arXiv:1911.00068), as implemented in cleanlab.

    The network must not have trained on these images. A candidate need not be wrong: look at it.

    Returns:
        One row per image, the most suspicious first: index (into the answers), label, suggestion (names) and quality,
        the probability that the network gives the label, 0 to 1.
    """
    probabilities = answers.probabilities
    found = _issues(answers.labels, probabilities)
    quality = probabilities[found, answers.labels[found]]
    chosen = found[np.argsort(quality, kind="stable")][:count]
    names = np.array(answers.classes)
    return pd.DataFrame(
        {
            "index": chosen,
            "label": names[answers.labels[chosen]],
            "suggestion": names[answers.predicted[chosen]],
            "quality": np.sort(quality, kind="stable")[:count],
        }
    )


def _issues(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    if len(np.unique(labels)) < 2:  # confident learning compares classes
        return np.array([], dtype=np.int64)
    with warnings.catch_warnings():  # tqdm warns about widgets, cleanlab about classes with few images
        warnings.simplefilter("ignore")
        from cleanlab.filter import find_label_issues  # takes a second, and only this function needs it

        # One process: cleanlab's pool costs more than it saves here, and forks inside notebooks.
        return np.flatnonzero(find_label_issues(labels, probabilities, n_jobs=1))


@dataclass(frozen=True)
class Comparison:
    """Two networks on the same images.

    Attributes:
        both_right: number of images that both get right.
        both_wrong: number of images that both get wrong.
        only_first: indices of the images that only the first gets right; the second's most confident mistakes first.
        only_second: the same for the second.
        p_value: McNemar's exact two-sided test of equal accuracy.
    """

    both_right: int
    both_wrong: int
    only_first: np.ndarray
    only_second: np.ndarray
    p_value: float

    def __str__(self) -> str:
        first, second = len(self.only_first), len(self.only_second)
        better = "the first is better" if first > second else "the second is better"
        verdict = better if self.p_value < 0.05 else "this does not tell them apart"
        return (
            f"only the first is right on {first:,} images, only the second on {second:,} (both right "
            f"{self.both_right:,}, both wrong {self.both_wrong:,}): McNemar's test gives "
            f"p = {self.p_value:.3g}, {verdict}"
        )


def compare(first: Answers, second: Answers) -> Comparison:
    """Which images one network gets right and the other wrong, with McNemar's exact test.

    Raises:
        KitError: the two do not answer about the same labels.
    """
    if not np.array_equal(first.labels, second.labels):
        raise KitError("both runs have to answer about the same images in the same order: predict both again")
    only_first = _ranked(np.flatnonzero(first.right & ~second.right), -second.confidence)
    only_second = _ranked(np.flatnonzero(~first.right & second.right), -first.confidence)
    discordant = len(only_first) + len(only_second)
    p_value = binomtest(len(only_first), discordant).pvalue if discordant else 1.0
    both_right = int((first.right & second.right).sum())
    both_wrong = len(first) - both_right - discordant
    return Comparison(both_right, both_wrong, only_first, only_second, float(p_value))
