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
# # Predict and submit
#
# From a trained run to a checked CSV, and to Kaggle if you say so.

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
    subprocess.run(["git", "clone", "--quiet", "--depth=1", _address, "kit-clone"], check=True)
    subprocess.run([sys.executable, "-m", "kit.colab"], cwd="kit-clone", check=True)  # what is missing, never torch
sys.path[:0] = [str(p.resolve()) for p in _places if (p / "kit" / "parameters.py").is_file()][:1]
__import__("kit")  # not found? Start in the repository's folder, or add `--cwd REPOSITORY` to papermill's options
_before = set(globals())  # what comes next are parameters

# %% [markdown]
# The parameters. `None` (YAML's `null`) means "not given": the value below is taken. `none` is a word of `tta`, for
# predictions of the images alone.

# %% tags=["parameters"]
data: str = "auto"  # where the images come from: auto, digits, or a folder
run: str = ""  # a run folder under runs/, or several joined by commas to average, by default the one started last
weights: str = "last"  # the epoch whose weights predict: last or best
test_file: str = "auto"  # the test file of the competition, auto to look where the images are
tta: str = "auto"  # test-time views: auto (flip where training flips), none, flip, flip+shift, adaptive, or a number
header: str = "ID,Labels"  # the header of the CSV
upload: bool = False  # send the CSV to Kaggle
message: str = ""  # the description of the submission on Kaggle
amp: str = "auto"  # precision of the matrix products: auto, bf16, fp16 or fp32

# %% [markdown]
# The run to predict with, whose network has to keep the competition's budget; or several, whose logits are averaged.

# %%
from kit.data import load
from kit.model import check_budget
from kit.parameters import check_cell
from kit.run import load_runs

settings = check_cell("submit", globals(), _before)
members = load_runs(settings.run)
trained, title = members[0], "+".join(run.name for run in members)
networks = [run.model(settings.weights) for run in members]
for each, network in zip(members, networks, strict=True):
    check_budget(network)
    print(f"{each.folder}\n{each.summary()}\n")

# %% [markdown]
# ## The images to label
#
# Both layouts of the competition's file are recognised by their content.

# %%
from kit.submission import images_to_label

dataset = load(settings.data)
for each in members:
    each.check_images(dataset)
test = images_to_label(settings.test_file, settings.data, dataset)
print(test.source)

# %% [markdown]
# Test images that were read or scaled wrongly differ from the training images here; real ones hardly do.

# %%
from kit.submission import warn_of_unlike_images

warn_of_unlike_images(test.images, dataset.train_images).round(3)

# %% [markdown]
# ## Predictions

# %%
from kit import plots
from kit.predict import average_models
from kit.submission import warn_of_unlikely_labels
from kit.views import chosen_views

views = chosen_views(settings.tta, trained.recipe.augment)
together = average_models(networks, test.images, tta=views, amp=settings.amp)
print(together.statement)
logits = together.logits
labels = logits.argmax(1)
counts = warn_of_unlikely_labels(labels, dataset.classes)
figure = plots.class_counts(counts.to_dict(), len(labels) / len(counts), "predictions of each class")
trained.save_figure(figure, "predicted_counts")

# %% [markdown]
# The first forty images with their predicted class and its probability.

# %%
certainty = logits.softmax(1).amax(1)
titles = [f"{dataset.classes[k]} {100 * p:.0f} %" for k, p in zip(labels[:40], certainty[:40], strict=True)]
trained.save_figure(plots.image_grid(test.images[:40], titles), "predicted_samples")

# %% [markdown]
# ## The expected score
#
# Before a submission is spent: what the published teams' line and the unlabelled test images expect on the leaderboard.
# The network's answers to its validation images calibrate the latter.

# %%
from IPython.display import display

from kit.analysis import Answers, fit_line, forecast, leaderboard
from kit.data import CLASSES, split

known = split(dataset, trained.recipe.split, trained.recipe.seed)
answers = average_models(networks, known.validation_images, tta=views, amp=settings.amp).logits
source = Answers(answers, known.validation_labels, dataset.classes)
print(f"{settings.weights} weights, tta {views}: {source.accuracy:.2%} of {len(source):,} validation images right")
expectation = forecast(source, logits) if dataset.classes == CLASSES else None
print(expectation or "the published line is about CIFAR-10, so nothing is expected of other images")

# %%
if expectation:
    line = plots.published_line(leaderboard(), fit_line(), 100 * source.accuracy)
    display(trained.save_figure(line, "published_line"))
    display(trained.save_figure(plots.forecast_intervals(expectation), "forecast"))

# %% [markdown]
# ## The CSV
#
# Checked before it is written: one row per id, in the order of the test file, with labels 0 to 9.

# %%
from kit.submission import describe, submission_path, write_submission

csv = None
if test.from_competition:
    about = describe(members, settings.weights, views, source, expectation, settings.amp)
    target = submission_path(members)
    csv = write_submission(target, test.ids, labels, header=settings.columns, about=about)
    print(csv, *csv.read_text().splitlines()[:6], sep="\n")
else:
    print("no CSV for upload: these are the official test images, not the competition's")

# %% [markdown]
# ## Upload
#
# Off by default: a day has few submissions.

# %%
from kit import competition
from kit.errors import KitError

if csv and settings.upload:
    competition.submit(csv, settings.message or title, header=settings.columns)
elif settings.upload:
    raise KitError("upload has nothing to send: the test file was not found; download it or give test_file")
elif csv:
    print(f'nothing was uploaded; to do it: python -m kit submit {csv} -m "{settings.message or title}"')
