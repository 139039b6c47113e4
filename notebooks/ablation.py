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
# # Ablation
#
# The paper's tables beside our own runs: those in runs/ on this machine, and those kept in notebooks/results/. A run
# is listed in a table if it has the recipe of one of the rows, at full scale or shrunk to what a small machine can
# train.

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
# ## The paper's tables
#
# The paper prints the accuracy of the best epoch, which was chosen on the very images that it reports. Ours is the last
# epoch, with the best one beside it. Means, standard deviations (n - 1) and 95 % t-intervals are taken over the seeds.
# Accuracies at a shrunk scale can be compared with each other, but not with the paper's. The paper gives 96.95 % in
# Table 1 and 95.94 % in Table 2 for what reads as one configuration, so the two tables cannot come from the same runs.
# Ours are shown beside both.

# %%
from IPython.display import Markdown

from kit import ablation, plots

runs = ablation.finished_runs()
found = ablation.all_repetitions(runs)
Markdown(ablation.paper_tables(found))

# %% [markdown]
# ## Which differences are more than noise
#
# Every row is compared with the paper's final configuration, or with the table's first row if that one did not run. If
# one of the two rows has all seeds of the other, the difference is taken seed by seed; otherwise Welch's test compares
# the means. The verdict uses Holm's correction over the whole table at 5 %, so it can be "noise" although one interval
# excludes zero.

# %%
Markdown(ablation.difference_tables(found))

# %% [markdown]
# The runs of each table as curves, or as points if they had one epoch only. Each colour is one row of the table;
# black is the paper's final configuration.

# %%
plots.table_curves(found)

# %% [markdown]
# ## Do longer trainings overfit?
#
# The paper says that 250 and 300 epochs overfit, with a large gap between training and validation. The gap here is the
# accuracy on the training images without augmentation minus the accuracy on the validation images, both after the last
# epoch. The gap of each length is compared with that of 200 epochs, or of the first length that ran, by the tests of
# the section above.

# %%
Markdown(ablation.gap_tables(found))

# %% [markdown]
# The gaps against the length of the training, above zero if the training images are known better than the validation
# images.

# %%
plots.accuracy_gaps(found)

# %% [markdown]
# ## What was tried on the way
#
# Variants that were trained while a recipe was being chosen, the longest and the most accurate first. Each is compared
# with the recipe of the same length, if that ran. The column "differs in" is read from the record of each run. The
# recipe was chosen on the same test images that judge it here, so its lead is optimistic. New seeds would remove the
# luck of the seeds, but not the luck of these images.

# %%
Markdown(ablation.tried_tables(runs))

# %% [markdown]
# ## Does the engine train as the paper does?
#
# The same seeds, trained in three ways: by the kit as it is, by the kit in float32, and by the paper's own loop over
# torchvision's augmentation. The kit is faster, and has to end in the same accuracy.

# %%
Markdown(ablation.agreement_tables())

# %% [markdown]
# ## All other runs
#
# One row per run that is in none of the tables above, grouped by its images, the most accurate first.

# %%
others = ablation.other_runs(runs, found)
ablation.in_words(ablation.single_runs(others))

# %% [markdown]
# Their validation accuracy against epochs, with one panel per kind of images.

# %%
plots.compare_runs(ablation.histories_by_images(others))

# %% [markdown]
# ## Accuracy against arithmetic
#
# The accuracy of every run without views, against its arithmetic: 3 x a forward pass x the images shown. Smaller images
# count less. The crosses are published figures and some of ours, most of them with views.

# %%
plots.frontier(runs)
