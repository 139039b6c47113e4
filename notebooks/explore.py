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
# # Explore the images
#
# What the images are: classes, samples and statistics, and what training sees of them after augmentation.

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
# The parameters. `None` (`null` in YAML) means "not given": the recipe's own value is used. The text `none` means no
# augmentation. An empty text is allowed only if the line says what it means.

# %% tags=["parameters"]
data: str = "auto"  # where the images come from: auto, digits, noisy-digits, a folder, or resize:FOLDER
recipe: str = None  # a row of RECIPES (by default paper, digits for digits), whose augmentation is shown
augment: str = None  # none, or crop reflect shift, flip alternate, autoaugment randaugment trivialaugment, joined by +
cutout: int = None  # side of the square that Cutout blanks, in pixels, 0 for none
jitter: float = None  # strength of brightness, contrast and saturation jitter, 0 for none
rotation: float = None  # largest random rotation in degrees, 0 for none
mixup_alpha: float = None  # alpha of Mixup, 0 for none
cutmix_alpha: float = None  # alpha of CutMix, 0 for none
regmixup_alpha: float = None  # alpha of RegMixup, 0 for none
erase: float = None  # probability of random erasing, 0 for none
skip_easy: float = None  # share of the images, easy ones, that the middle epochs leave out, 0 up to 0.7
split: str = None  # paper or holdout
seed: int = None  # seed of the augmentation

# %% [markdown]
# The parameters are checked before any work, so that a misspelt one stops here. The table shows those that will be
# used.

# %% tags=["not-in-report"]
import pandas as pd

from kit.parameters import AUGMENTING, check_cell

settings = check_cell("explore", globals(), _before)
pd.Series({k: getattr(settings.recipe, k) for k in AUGMENTING}, name=settings.recipe_name).to_frame()

# %% [markdown]
# ## The data
#
# The images are kept as they are, with values from 0 to 255. Training normalises them.

# %%
import kit.data
from kit import plots

dataset = kit.data.load(settings.data)
parts = kit.data.split(dataset, settings.recipe.split, settings.recipe.seed)
print(f"{dataset.source}: {len(parts.train_images):,} to train on, {len(parts.validation_images):,} to validate on")

# %% [markdown]
# Mean and standard deviation of each channel, from 0 to 1: measured on every fifth image, and the constants of
# CIFAR-10 with which training normalises.

# %%
import kit.augment

pixels = dataset.train_images[::5].float() / 255
measured = {"mean": pixels.mean((0, 2, 3)).tolist(), "deviation": pixels.std((0, 2, 3)).tolist()}
used = {"mean used": kit.augment.MEAN, "deviation used": kit.augment.STD}
pd.DataFrame(measured | used, index=["red", "green", "blue"]).round(4)

# %% [markdown]
# How many training images each class has. If the bars are equal, every class counts the same in the accuracy.

# %%
counts = parts.train_labels.bincount().tolist()
plots.class_counts(dict(zip(dataset.classes, counts, strict=True)), title="training images of each class")

# %% [markdown]
# The first eight images of each class.

# %%
plots.class_samples(parts.train_images, parts.train_labels, dataset.classes)

# %% [markdown]
# How often each grey level occurs. A peak at 255 or at 0 usually comes from objects on a plain white or black
# background.

# %%
plots.pixel_histogram(dataset.train_images[::5])

# %% [markdown]
# ## Augmentation
#
# The operations as functions of a batch of images. Jitter, rotation and Cutout have the recipe's strength, or a usual
# one if the recipe leaves them out. Cutout paints the mean colour, as in training.

# %%
import torch

strength, mean = settings.recipe.jitter or 0.2, 255 * torch.tensor(kit.augment.MEAN).view(3, 1, 1)
ways = {
    "crop": kit.augment.random_crop,
    "flip": kit.augment.random_flip,
    "AutoAugment": kit.augment.autoaugment,
    "RandAugment": kit.augment.randaugment,
    "TrivialAugment": kit.augment.trivialaugment,
    "jitter": lambda x: kit.augment.color_jitter(x, strength, strength, strength, strength / 2),
    "rotation": lambda x: kit.augment.random_rotation(x, settings.recipe.rotation or 15),
    "Cutout": lambda x: (kit.augment.cutout(x - mean, length=settings.recipe.cutout or 8) + mean).round().byte(),
}

# %% [markdown]
# Each operation by itself on the same ten images. Every image gets its own random draw.

# %%
apart = max(len(parts.train_images) // 10, 1)
plots.augmentation_table(parts.train_images[::apart][:10], ways)

# %% [markdown]
# What training with this recipe sees: ten views of each of six images, made by the code that training uses. The title
# of a view is its target. If the recipe mirrors every second epoch (`alternate`), every second view is mirrored here.
# All views are one batch, so a folder of few images can be shown, too.

# %%
from kit.augment import mirror
from kit.train import Batches

six, their_labels = (x[::apart][:6].repeat_interleave(10, 0) for x in (parts.train_images, parts.train_labels))
one_batch = settings.recipe.replace(batch_size=len(six), skip_easy=0.0)
batches = Batches(six, their_labels, one_batch, len(dataset.classes))
if settings.recipe.augmentations.alternate:
    six = mirror(six, torch.arange(len(six)) % 2 == 1)
views, targets = batches.augmented(six, their_labels, torch.Generator().manual_seed(settings.recipe.seed))
plots.training_views(views, targets, dataset.classes)
