"""Every figure of the misclassification notebook from one run folder, to be looked at.

    python -m tests.benchmarks.mistake_figures --run runs/leaderboard --data data --out figures [--second runs/paper]

Prints the figures' numbers, and what test-time augmentation and BatchNorm re-estimation do to the accuracy.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from torch import Tensor, nn

from kit.analysis import mistakes as analysis
from kit.analysis.answers import Answers
from kit.analysis.calibration import calibrate
from kit.analysis.expected import fit_line, leaderboard
from kit.analysis.gradcam import gradcam
from kit.analysis.shifts import SMALL_CHANGES, answers_under, weaknesses
from kit.data.loading import Dataset, load
from kit.plots import mistakes, scores
from kit.predict import predict
from kit.run import Run
from kit.system import files
from kit.tta import TTA_VIEWS
from tests.benchmarks.batchnorm import reestimate_batchnorm


def figures(model: nn.Module, images: Tensor, answers: Answers, changes: int) -> dict[str, Figure]:
    """The figures by name; the changes are measured on the first `changes` images of an even spread."""
    wrong = analysis.confident_mistakes(answers, 27)
    suspects = analysis.suspicious_labels(answers, 27)
    calibration = calibrate(answers)
    print(
        analysis.per_class(answers).round(4).to_string(),
        analysis.confused_pairs(answers).to_string(),
        sep="\n\n",
    )
    print(f"\n{calibration}\n\n{suspects.to_string()}\n")
    return {
        "confusion": mistakes.confusion_matrix(answers),
        "classes": mistakes.class_measures(answers),
        "pairs": mistakes.confused_examples(images, answers),
        "mistakes": mistakes.gallery(images, answers, wrong, "Most confident mistakes"),
        "hits": mistakes.gallery(images, answers, analysis.doubtful_hits(answers, 27), "Least confident hits"),
        "confidence": scores.confidence_parts(answers),
        "reliability": scores.reliability_diagram(calibration),
        "gradcam": mistakes.heat_maps(images, gradcam(model, images[wrong[:10]]), answers, wrong[:10]),
        "suspicious": mistakes.suspicious(images, suspects),
        "weaknesses": weakness_figure(model, images, answers, changes),
        "line": scores.published_line(leaderboard(), fit_line(), 100 * answers.accuracy),
    }


def weakness_figure(model: nn.Module, images: Tensor, answers: Answers, changes: int) -> Figure:
    chosen = slice(None, None, max(len(answers) // changes, 1))
    plain = answers[chosen]
    changed = answers_under(model, images[chosen], plain.labels, plain.classes, SMALL_CHANGES)
    table = weaknesses(plain, changed)
    print(table.round(4).to_string())
    return mistakes.weakness_bars(plain, table)


def adaptations(model: nn.Module, dataset: Dataset) -> None:
    """Print the accuracy with every named number of views, and with BatchNorm re-estimated."""
    labels = dataset.test_labels
    for tta in TTA_VIEWS:
        logits = predict(model, dataset.test_images, tta=tta)
        print(f"tta {tta}: {Answers(logits, labels, dataset.classes).accuracy:.2%}")
    adapted = predict(reestimate_batchnorm(model, dataset.test_images), dataset.test_images)
    print(f"BatchNorm re-estimated on the test images: {Answers(adapted, labels, dataset.classes).accuracy:.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--run", required=True, help="run folder, or its name under runs/")
    parser.add_argument("--second", help="another run to compare with")
    parser.add_argument("--data", default="auto", help="as kit.data.load takes it")
    parser.add_argument("--changes", type=int, default=2000, help="test images that the small changes are tried on")
    parser.add_argument("--out", type=Path, required=True, help="folder for the figures")
    options = parser.parse_args()
    dataset, model = load(options.data), Run.load(options.run).model()
    images, labels, classes = dataset.test_images, dataset.test_labels, dataset.classes
    answers = Answers(predict(model, images), labels, classes)
    drawn = figures(model, images, answers, options.changes)
    if options.second:
        other = Answers(predict(Run.load(options.second).model(), images), labels, classes)
        result = analysis.compare(answers, other)
        print(f"\n{result}")
        drawn["comparison"] = mistakes.comparison(result, (options.run, options.second))
    for name, figure in drawn.items():
        with files.replacing(options.out / f"{name}.png") as part:
            figure.savefig(part, dpi=200, format="png")
    adaptations(model, dataset)


if __name__ == "__main__":
    main()
