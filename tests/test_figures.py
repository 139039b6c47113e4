"""Every figure at its edges: few or no items, none or all right, absent classes, odd names; text lies on the canvas."""

import itertools
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from kit import plots
from kit.analysis.answers import Answers
from kit.analysis.calibration import calibrate
from kit.analysis.expected import fit_line, forecast, leaderboard
from kit.analysis.mistakes import accuracy_by_confidence, compare, suspicious_labels
from kit.analysis.shifts import weaknesses
from kit.data.loading import CLASSES
from kit.model.resnet import build
from kit.model.summary import summarize
from kit.plots import style
from kit.plots.thumbnails import SIDE

NAMES = {
    "long": ("abcdefghij" * 30, *(f"a class with a name that is rather long, number {k}" for k in range(9))),
    "other scripts": ("飞机", "汽车", "鳥", "αεροπλάνο", "γάτα", "سيارة", "🐸", "🚢🐸", "лягушка", "कुत्ता"),
    "signs": ("$", "$x", "a$b", "$\\frac{1}", "$$", "\\alpha$", "{$", "%$", "_$^", "ten\n$lines"),
}
IMAGES = torch.randint(0, 256, (60, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def answers_of(images=60, right=0.45, names=CLASSES, absent=None):
    """Answers of a given accuracy; a class may be neither label nor prediction."""
    rng = np.random.default_rng(0)
    known = np.array([k for k in range(10) if k != absent])
    labels = known[np.arange(images) % len(known)]
    wrong = known[(np.arange(images) + 1 + rng.integers(len(known) - 1, size=images)) % len(known)]
    predicted = np.where(np.arange(images) < round(right * images), labels, wrong)
    logits = rng.normal(size=(images, 10))
    logits[np.arange(images), predicted] = 3 + rng.random(images)
    return Answers(logits, labels, names)


def texts_of(figure):
    """The texts that a drawing of the figure really draws, with their boxes in pixels."""
    drawn, draw = {}, Text.draw

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            drawn[id(text)] = text
        draw(text, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        FigureCanvasAgg(figure).draw()
    return [(text, text.get_window_extent()) for text in drawn.values()]


def check(figure):
    """All text lies on the canvas, none covers another one, and drawing it warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        texts = texts_of(figure)
    width, height = figure.canvas.get_width_height()
    for text, box in texts:
        inside = box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1
        assert inside, f"{text.get_text()!r} at {box} leaves the canvas of {width} x {height}"
    level = [(t, box) for t, box in texts if t.get_rotation() == 0]
    for (one, first), (two, second) in itertools.combinations(level, 2):
        shared = Bbox.intersection(first, second)
        assert shared is None or min(shared.width, shared.height) < 2, f"{one.get_text()!r} covers {two.get_text()!r}"
    assert texts
    return figure


def said_by(figure):
    return " ".join(text.get_text() for text, _ in texts_of(figure))


def about(answers):
    """Every figure that is made from one network's answers."""
    wrong, hits = np.flatnonzero(~answers.right)[:27], np.flatnonzero(answers.right)[:27]
    maps = torch.rand(len(wrong), 32, 32)
    plain = {("moved", "1 px"): answers, ("upside down", ""): answers}
    yield plots.confusion_matrix(answers)
    yield plots.class_measures(answers)
    yield plots.confused_examples(IMAGES, answers)
    yield plots.gallery(IMAGES, answers, wrong, "Most confident mistakes")
    yield plots.gallery(IMAGES, answers, hits, "Least confident hits")
    yield plots.heat_maps(IMAGES, maps, answers, wrong)
    yield plots.confidence_parts(answers)
    yield plots.suspicious(IMAGES, suspicious_labels(answers, 27))
    yield plots.weakness_bars(answers, weaknesses(answers, plain))
    yield plots.comparison(compare(answers, answers), (answers.classes[0], answers.classes[0]))
    yield plots.published_line(leaderboard(), fit_line(), 100 * answers.accuracy)
    if len(answers) > 1:
        yield plots.reliability_diagram(calibrate(answers))
        yield plots.forecast_intervals(forecast(answers, answers.logits))
    counts = np.bincount(answers.predicted, minlength=10).tolist()
    yield plots.class_counts(dict(zip(answers.classes, counts, strict=True)), 6, "predictions of each class")
    labels = torch.from_numpy(answers.labels)
    yield plots.class_samples(IMAGES[: len(labels)], labels, answers.classes, per_class=2)
    some = labels[:12]
    yield plots.predicted_samples(IMAGES[: len(some)], torch.from_numpy(answers.logits[:12]), answers.classes)
    yield plots.training_views(torch.randn(len(some), 3, 32, 32), some, answers.classes)
    mixed = torch.eye(10)[some] * 0.6 + torch.eye(10)[some.roll(1)] * 0.4
    yield plots.training_views(torch.randn(len(some), 3, 32, 32), mixed, answers.classes)


@pytest.mark.slow
@pytest.mark.parametrize("right", [0, 0.1, 0.45, 1])
def test_every_figure_of_answers_at_every_accuracy(right):
    for figure in about(answers_of(right=right)):
        check(figure)


@pytest.mark.slow
@pytest.mark.parametrize("images", [1, 2, 27])
@pytest.mark.parametrize("right", [0, 1])
def test_every_figure_of_few_images(images, right):
    for figure in about(answers_of(images, right)):
        check(figure)


@pytest.mark.slow
@pytest.mark.parametrize("names", NAMES)
def test_every_figure_with_any_class_names(names):
    for figure in about(answers_of(27, names=NAMES[names], absent=3)):
        check(figure)


@pytest.mark.slow
@pytest.mark.parametrize("mistakes", [0, 1, 2, 27])
def test_every_thumbnail_has_one_size(mistakes):
    answers = answers_of(60, 1 - mistakes / 60)
    wrong = np.flatnonzero(~answers.right)
    labels = torch.from_numpy(answers.labels)
    figures = [
        plots.gallery(IMAGES, answers, wrong, "Mistakes"),
        plots.heat_maps(IMAGES, torch.rand(len(wrong), 32, 32), answers, wrong),
        plots.confused_examples(IMAGES, answers),
        plots.suspicious(IMAGES, suspicious_labels(answers)),
        plots.class_samples(IMAGES, labels, answers.classes),
        plots.image_grid(IMAGES, ["frog"] * 60),
        plots.augmentation_table(IMAGES[:10], {"flip": lambda x: x.flip(3)}),
    ]
    for figure in figures:
        check(figure)
        for axes in (axes for axes in figure.axes if axes.images):
            size = axes.get_position().size * figure.get_size_inches()
            np.testing.assert_allclose(size, SIDE, rtol=1e-6)


def test_a_figure_that_fails_costs_itself_and_a_sentence(monkeypatch):
    def fail(*_):
        plt.figure()
        raise ValueError("'yerr' must not contain negative values")

    monkeypatch.setattr("kit.plots.scores.intervals", fail)
    with pytest.warns(UserWarning, match="published_line could not be drawn .*yerr"):
        figure = plots.published_line(leaderboard(), fit_line(), 40.0)
    assert "published_line could not be drawn" in said_by(check(figure))
    assert not plt.get_fignums()


def test_nothing_to_show_is_a_sentence():
    answers, nothing = answers_of(right=1), IMAGES[:0]
    assert "there are none" in said_by(check(plots.gallery(IMAGES, answers, [], "Most confident mistakes")))
    assert "every image is right" in said_by(check(plots.confused_examples(IMAGES, answers)))
    assert "no image" in said_by(check(plots.heat_maps(IMAGES, torch.rand(0, 32, 32), answers, [])))
    assert "no images" in said_by(check(plots.image_grid(nothing, [])))
    assert "no images" in said_by(check(plots.augmentation_table(nothing, {})))
    assert "no images" in said_by(check(plots.pixel_histogram(nothing)))
    assert "no classes" in said_by(check(plots.class_counts({})))
    assert "no layers" in said_by(check(plots.architecture([])))
    assert "no other run" in said_by(check(plots.compare_runs({})))
    assert "no change" in said_by(check(plots.weakness_bars(answers, weaknesses(answers, {}))))
    columns = ["expected", "public", "private", "run", "file"]
    assert "0 submissions" in said_by(check(plots.expected_against_real(pd.DataFrame(columns=columns))))


@pytest.mark.parametrize("validation", [0.0, 10.0, 40.0, 45.2, 45.3, 96.95, 100.0])
def test_the_published_line_is_drawn_for_any_accuracy_with_its_interval_as_it_is(validation):
    line = fit_line()
    figure = check(plots.published_line(leaderboard(), line, validation))
    low, high = line.interval(validation)
    assert f"{validation:.2f} % here" in said_by(figure) and f"({low:.1f} to {high:.1f})" in said_by(figure)
    (segment,) = figure.axes[0].collections[-1].get_segments()
    np.testing.assert_allclose(segment, [(validation, low), (validation, high)])


def test_an_interval_that_leaves_its_estimate_out_is_drawn_as_it_is():
    answers = answers_of()
    found = forecast(answers, answers.logits)
    found.table.loc[:, ["low", "high"]] = found.table.expected.to_numpy()[:, None] + [1, 2]
    figure = check(plots.forecast_intervals(found))
    drawn = sorted(tuple(lines.get_segments()[0][:, 0]) for lines in figure.axes[0].collections)
    np.testing.assert_allclose(drawn, sorted(zip(found.table.low, found.table.high, strict=True)))


@pytest.mark.parametrize("right", [0, 0.45, 1])
def test_what_stands_above_the_parts_is_what_they_show(right):
    answers = answers_of(60, right)
    first = accuracy_by_confidence(answers).iloc[0]
    title = plots.confidence_parts(answers).axes[0].get_title()
    if right == 1:
        assert title == "All 60 images are right"
    else:
        mistakes = round(60 * (1 - right))
        assert title.startswith(f"{first.share_of_mistakes:.0%} of {mistakes} mistakes lie in the 6 images of 60")


def test_one_image_is_no_images():
    answers = answers_of(10, 0.9)
    assert "1 image (" in said_by(plots.confused_examples(IMAGES, answers))
    assert "1 images" not in said_by(plots.confused_examples(IMAGES, answers))
    assert plots.pixel_histogram(IMAGES[:1]).axes[0].get_title().startswith("1 image:")


def test_the_histogram_says_how_many_pixels_are_black_or_white():
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    images[0] = 255
    figure = check(plots.pixel_histogram(images))
    assert "75.0% of the values are 0, 25.0% are 255" in said_by(figure)
    assert [line.get_label() for line in figure.axes[0].lines] == ["red, green and blue alike"]
    images[0, 0] = 7
    assert len(plots.pixel_histogram(images).axes[0].lines) == 3


def history(epochs=3):
    return pd.DataFrame({"epoch": range(1, epochs + 1), "validation_accuracy": np.linspace(10, 90, epochs)})


def test_digits_and_photos_have_panels_of_their_own():
    runs = {"CIFAR-10": {"paper": history()}, "handwritten digits": {"demo": history(1)}}
    figure = check(plots.compare_runs(runs))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["CIFAR-10", "handwritten digits"]
    assert [[line.get_label() for line in axes.lines] for axes in figure.axes] == [["paper"], ["demo"]]


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("runs", [1, 2, 27])
def test_runs_of_any_name_are_compared(names, runs):
    check(plots.compare_runs({"CIFAR-10": {f"{NAMES[names][k % 10]}{k}": history() for k in range(runs)}}))


@pytest.mark.parametrize("names", NAMES)
def test_submissions_of_any_name_are_drawn(names):
    rows = [(80 + k, 79 + k, None, name, "x.csv") for k, name in enumerate(NAMES[names])]
    table = pd.DataFrame(rows, columns=["expected", "public", "private", "run", "file"])
    check(plots.expected_against_real(table))


@pytest.mark.parametrize("arch", ["tiny", "paper"])
def test_the_architecture_is_drawn_under_any_title(arch):
    check(plots.architecture(summarize(build(arch)), "$ " + "a long spelling of an architecture " * 8))


@pytest.mark.parametrize("text", ["飞机", "a" * 300, "$x", "word " * 60, "🐸", "tab\tand\nline", ""])
@pytest.mark.parametrize("inches", [0.3, 1.0, 3.0])
def test_shortened_text_fits_and_keeps_its_ends(text, inches):
    short = style.shortened(text, inches)
    assert style.width_of(short, 8) <= inches and "\n" not in short
    if "…" in short:
        assert style.drawable(text).startswith(short.split("…")[0])
        assert style.drawable(text).endswith(short.split("…")[1])


def test_colours_have_one_name_each():
    assert len({style.BLUE, style.VERMILION, style.GREEN, style.PINK, style.ORANGE, style.SKY, style.BLACK}) == 7
    assert style.ORANGE == "#E69F00"


@pytest.mark.parametrize("number", [0, 1, 2, 1200])
def test_numbers_agree_with_their_nouns(number):
    assert style.counted(number, "image") == f"{number:,} image{'' if number == 1 else 's'}"
