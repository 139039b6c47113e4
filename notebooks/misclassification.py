# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,jupyter,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Misclassified images
#
# The mistakes of a trained network, and what they suggest to try next.

# %% jupyter={"source_hidden": true} tags=["hide-input"]
# Find the kit: above this folder or this notebook, attached on Kaggle, or cloned from its address if set (Colab).
import os
import subprocess
import sys
from pathlib import Path

_address = ""  # of the repository; `python -m kit.colab ADDRESS` sets it
_own = Path(globals().get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or "_").resolve()
_places = [*Path("_").resolve().parents, *_own.parents, *Path("/kaggle/input").glob("**/kit/.."), Path("kit-clone")]
if _address and not any((p / "kit" / "parameters.py").is_file() for p in _places):
    subprocess.run(["git", "clone", "--depth=1", _address, "kit-clone"], check=True)
    subprocess.run([sys.executable, "-m", "kit.colab"], cwd="kit-clone", check=True)  # what is missing, never torch
sys.path[:0] = [str(p.resolve()) for p in _places if (p / "kit" / "parameters.py").is_file()][:1]
__import__("kit")  # not found? Start in the repository's folder, or add `--cwd REPOSITORY` to papermill's options
_before = set(globals())  # what comes next are parameters

# %% [markdown]
# The parameters. `None` (`null` in YAML) means "not given": the value below is used.

# %% tags=["parameters"]
data: str = "auto"  # where the images come from: auto, digits, noisy-digits, a folder, or resize:FOLDER
run: str = ""  # name of the run folder under runs/, by default the one that was started last
weights: str = "last"  # the epoch whose weights predict: last or best
other: str = ""  # a second run to compare with, empty for none
amp: str = "auto"  # precision of the matrix products: auto, bf16, fp16 or fp32

# %% [markdown]
# The run, and a second one if `other` names it. Both have to come from this data set, and neither may have trained on
# the validation images.

# %% tags=["not-in-report"]
from kit.data import load, split
from kit.parameters import check_cell
from kit.run import Run

settings = check_cell("misclassification", globals(), _before)
trained, second = Run.load(settings.run), Run.load(settings.other) if settings.other else None
dataset = load(settings.data)
trained.check_images(dataset)
if second:
    second.check_images(dataset)
    second.check_unseen_validation(trained.recipe)
print(f"{trained.folder}\n{trained.summary()}")

# %% [markdown]
# ## Predictions
#
# Only images that the network did not train on tell something about its mistakes. These are the validation images of
# the run's split.

# %%
from kit.analysis import Answers
from kit.predict import predict

network = trained.model(settings.weights)
part = split(dataset, trained.recipe.split, trained.recipe.seed)
images, labels = part.validation_images, part.validation_labels
answers = Answers(predict(network, images, amp=settings.amp), labels, dataset.classes)
print(f"{trained.name}, {settings.weights} weights: {answers.accuracy:.2%} of {len(answers):,} images right, ", end="")
print(f"{(~answers.right).sum():,} wrong")

# %% [markdown]
# ## Which classes
#
# Each row is a true class, each column a predicted one. The diagonal holds the right answers; it is left white, so
# that the mistakes show.

# %%
from kit import analysis, plots

trained.save_figure(plots.confusion_matrix(answers), "confusion")

# %% [markdown]
# Recall is the share of a class's images that are recognised. Precision is the share of its predictions that are
# right. If the 95 % intervals of two classes overlap widely, these images do not tell which class is easier.

# %%
trained.save_figure(plots.class_measures(answers), "class_measures")

# %% [markdown]
# The same numbers as a table.

# %%
analysis.per_class(answers).round(3).rename(columns=lambda name: name.replace("_", " "))

# %% [markdown]
# ## Which pairs
#
# The most frequent mistakes. Each row shows one pair, with the images on which the network was most confident of the
# wrong class.

# %%
trained.save_figure(plots.confused_examples(images, answers), "confused_pairs")

# %% [markdown]
# The ten most frequent pairs as a table. `share` is the part of the true class that was taken for the other one.

# %%
analysis.confused_pairs(answers).round(3)

# %% [markdown]
# ## The most confident mistakes
#
# The mistakes that the network made with most confidence. Look for what they have in common, such as framing, drawings
# or colours.

# %%
wrong = analysis.confident_mistakes(answers, 27)
trained.save_figure(plots.gallery(images, answers, wrong, "Most confident mistakes"), "confident_mistakes")

# %% [markdown]
# The right answers that the network gave with least confidence.

# %%
doubtful = analysis.doubtful_hits(answers, 27)
trained.save_figure(plots.gallery(images, answers, doubtful, "Least confident hits"), "doubtful_hits")

# %% [markdown]
# ## Where it looked
#
# Grad-CAM shows which parts of the image supported the predicted class, in the last stage of the network: yellow most,
# blue least. Yellow beside the object means that the network looked at the background.

# %%
from kit.analysis import gradcam

shown = wrong[:9]
maps = gradcam(network, images[shown])
trained.save_figure(plots.heat_maps(images, maps, answers, shown), "heat_maps")

# %% [markdown]
# ## Confidence and accuracy
#
# The images in ten equal parts, from the least to the most confident. The title says how many of the mistakes lie in
# the least confident part: the more, the better confidence separates right from wrong answers.

# %%
trained.save_figure(plots.confidence_parts(answers), "accuracy_by_confidence")

# %% [markdown]
# A point below the dashed line means that the network is overconfident. Temperature scaling divides the
# logits by one number, which is fitted on one half of the images. Both diagrams show the other half.

# %%
from kit.analysis import calibrate

calibration = calibrate(answers)
print(calibration)
trained.save_figure(plots.reliability_diagram(calibration), "reliability")

# %% [markdown]
# ## Labels that look wrong
#
# Confident learning (cleanlab) looks for labels that the network contradicts more than is usual in their class. Look
# at each image and judge for yourself: nothing is removed.

# %%
suspects = analysis.suspicious_labels(answers, 27)
trained.save_figure(plots.suspicious(images, suspects), "suspicious_labels")

# %% [markdown]
# ## Small changes
#
# A change that you hardly see should cost nothing. One that costs points suggests an augmentation to try. The grey
# bars are large changes: they show how much the network depends on colours, and on which side is up.

# %%
from kit.analysis import SMALL_CHANGES, answers_under, weaknesses

some = slice(None, None, max(len(answers) // 2000, 1))  # two thousand images show a difference of a point
plain = answers[some]
changed = answers_under(network, images[some], labels[some], dataset.classes, SMALL_CHANGES, amp=settings.amp)
costs = weaknesses(plain, changed)
trained.save_figure(plots.weakness_bars(plain, costs), "weaknesses")

# %% [markdown]
# ## Against another run
#
# How many images only one of the two networks gets right. McNemar's test tells whether chance alone explains the
# difference.

# %%
if second:
    others = Answers(predict(second.model(settings.weights), images, amp=settings.amp), labels, dataset.classes)
    result = analysis.compare(answers, others)
    print(result)
    figure = trained.save_figure(plots.comparison(result, (trained.name, second.name)), "comparison")
else:
    figure = plots.sentence("no second run was named: set other to the name of one")
figure

# %% [markdown]
# The images that only the second network gets right, with what the first one says of them.

# %%
if second:
    heading = f"Only {second.name} is right; this is what {trained.name} says"
    chosen = plots.gallery(images, answers, result.only_second[:18], heading)
    figure = trained.save_figure(chosen, "only_second")
else:
    figure = plots.sentence("this, too, needs a second run")
figure
