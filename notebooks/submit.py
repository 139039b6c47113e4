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
    subprocess.run(["git", "clone", "--depth=1", _address, "kit-clone"], check=True)
    subprocess.run([sys.executable, "-m", "kit.colab"], cwd="kit-clone", check=True)  # what is missing, never torch
sys.path[:0] = [str(p.resolve()) for p in _places if (p / "kit" / "parameters.py").is_file()][:1]
__import__("kit")  # not found? Start in the repository's folder, or add `--cwd REPOSITORY` to papermill's options
_before = set(globals())  # what comes next are parameters

# %% [markdown]
# The parameters. `None` (`null` in YAML) means "not given": the value below is used. With `tta` set to `none`, the
# images are predicted as they are, without further views.

# %% tags=["parameters"]
data: str = "auto"  # where the images come from: auto, digits, noisy-digits, a folder, or resize:FOLDER
run: str = ""  # a run folder under runs/, or several joined by commas to average, by default the one started last
weights: str = "last"  # the epoch whose weights predict: last or best
test_file: str = "auto"  # the test file of the competition, auto to look where the images are
tta: str = "auto"  # test-time views: auto (flip where training flips), none, flip, flip+shift, adaptive, or a number
header: str = "ID,Labels"  # the header of the CSV
upload: bool = False  # send the CSV to Kaggle
message: str = ""  # the description of the submission on Kaggle
amp: str = "auto"  # precision of the matrix products: auto, bf16, fp16 or fp32

# %% [markdown]
# The run that predicts. Several runs, joined by commas, are averaged. The competition allows 5,000,000 trainable
# parameters, and a network with more stops here.

# %% tags=["not-in-report"]
from kit.data import load
from kit.parameters import check_cell
from kit.run import load_runs
from kit.submission import networks_of, summary_of

settings = check_cell("submit", globals(), _before)
members = load_runs(settings.run)
networks = networks_of(members, settings.weights)
trained, title = members[0], "+".join(run.name for run in members)
print(summary_of(members))

# %% [markdown]
# ## The images to label
#
# The competition's test file, in either of its two layouts: the content says which. If there is no such file, the
# test images of the data are predicted, and no CSV is written.

# %%
from kit.submission import images_to_label

dataset = load(settings.data)
test = images_to_label(settings.test_file, settings.data, dataset, members)
print(test.source)

# %% [markdown]
# A check that the images were read correctly. Each row describes one set of images, with values from 0 to 1. Sets of
# similar photos agree within a few hundredths. A wrong layout, channel order or scale differs by more and causes a
# warning.

# %%
from kit.submission import warn_of_unlike_images

warn_of_unlike_images(test.images, dataset.train_images).round(3)

# %% [markdown]
# These figures hardly change if images are mirrored or turned, or if red and blue are exchanged. The network does
# notice: it is most confident if the images are read correctly. A network that was trained with flips is equally
# confident in mirrored images, but it also labels them equally well.

# %%
from kit.analysis import confidence_of_readings
from kit.data import split

known = split(dataset, trained.recipe.split, trained.recipe.seed)
confidence_of_readings(networks, test.images, known.validation_images, amp=settings.amp).round(3)

# %% [markdown]
# ## Predictions
#
# One class for every image: the most likely one, after averaging over the runs and over the test-time views.

# %%
from kit.predict import average_models
from kit.submission import warn_of_unlikely_labels
from kit.tta import chosen_views

views = chosen_views(settings.tta, trained.recipe.augment)
together = average_models(networks, test.images, tta=views, amp=settings.amp)
logits, labels = together.logits, together.logits.argmax(1)
print(together.statement)
counts = warn_of_unlikely_labels(labels, dataset.classes)
counts.to_frame("predictions of each class").T

# %% [markdown]
# ## The expected score
#
# The score to expect on the leaderboard, before you use up a submission. One method is a line through the results that
# teams have published. The others use the network's confidence in the unlabelled test images, calibrated on the
# validation images.

# %%
from kit.analysis import Answers, fit_line, forecast, leaderboard
from kit.data import CLASSES

answers = average_models(networks, known.validation_images, tta=views, amp=settings.amp).logits
source = Answers(answers, known.validation_labels, dataset.classes)
print(f"{settings.weights} weights, tta {views}: {source.accuracy:.2%} of {len(source):,} validation images right")
expectation = forecast(source, logits) if dataset.classes == CLASSES else None
print(expectation or "no score is estimated: the published results are about CIFAR-10 only")

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
# ## Look before you upload
#
# How often each class was predicted. The competition's test set is said to be balanced, so there a bar far from the
# line is a reason to look again.

# %%
from kit import plots

figure = plots.class_counts(counts.to_dict(), len(labels) / len(counts), "predictions of each class")
trained.save_figure(figure, "predicted_counts")

# %% [markdown]
# The first forty images, each with its predicted class and the probability of it.

# %%
trained.save_figure(plots.predicted_samples(test.images[:40], logits[:40], dataset.classes), "predicted_samples")

# %% [markdown]
# Where this network falls on the line of published results.

# %%
if expectation:
    line = plots.published_line(leaderboard(), fit_line(), 100 * source.accuracy)
else:
    line = plots.sentence("no published results are known for these images")
trained.save_figure(line, "published_line")

# %% [markdown]
# All expected scores beside each other, each with its 95 % interval.

# %%
if expectation:
    scores = plots.forecast_intervals(expectation)
else:
    scores = plots.sentence("no score is expected, as there is no leaderboard for these images")
trained.save_figure(scores, "forecast")

# %% [markdown]
# ## Upload
#
# Off by default, as Kaggle takes only a few submissions a day.

# %%
from kit import competition
from kit.errors import KitError

if csv and settings.upload:
    competition.submit(csv, settings.message or title, header=settings.columns)
elif settings.upload:
    raise KitError("upload has nothing to send: the test file was not found; download it or give test_file")
elif csv:
    print(f'nothing was uploaded; to do it: python -m kit submit {csv} -m "{settings.message or title}"')
