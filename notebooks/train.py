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
# # Train
#
# Train one recipe, from random weights to a run folder that the other notebooks read. The loop is in
# `kit/train/loop.py`.

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
run: str = ""  # name of the run folder under runs/, by default the name of the recipe
recipe: str = None  # a row of RECIPES (by default paper, digits for digits), whose settings the values below override
minutes: float = 0.0  # train about so long: chooses the epochs, and the recipe if none is named, 0 for no such budget
pflop: float = 0.0  # the same by arithmetic, in 10^15 floating-point operations, 0 for no such budget
epochs: int = None  # passes over the training images, 1 or more
arch: str = None  # a row of ARCHITECTURES, or channels and blocks such as 64,128,256/4,5,3
filter: str = None  # odd size of the filters, one or one per layer such as 3,3,5, empty for the architecture's own
skip_kernel: str = None  # odd size of the skip convolutions, one or one per layer, empty for the architecture's own
pool: int = None  # size of the average pool, 0 for the whole last map
dropout: float = None  # probability between the two convolutions of a block, 0 up to 1
batch_size: int = None  # images per step, over all GPUs together
optimizer: str = None  # sgd, nesterov, adam, adamw or muon
lr: float = None  # highest learning rate, above 0
momentum: float = None  # momentum of SGD and of Muon's filters, or beta1 of Adam, from 0 to below 1
weight_decay: float = None  # L2 regularization, 0 or more; in adamw and muon a share taken from the weights
schedule: str = None  # cosine, linear, constant, or step (by 0.1 at 50 % and 75 % of the run)
warmup: float = None  # epochs of linear warm-up
lookahead_k: int = None  # fast steps per slow step of Lookahead, 0 for none
lookahead_alpha: float = None  # how far the slow weights move towards the fast ones, 0 to 1
label_smoothing: float = None  # share of the target spread over all classes, 0 up to 1
augment: str = None  # none, or crop reflect shift, flip alternate, autoaugment randaugment trivialaugment, joined by +
cutout: int = None  # side of the square that Cutout blanks, in pixels, 0 for none
jitter: float = None  # strength of brightness, contrast and saturation jitter, 0 for none
rotation: float = None  # largest random rotation in degrees, 0 for none
mixup_alpha: float = None  # alpha of Mixup, 0 for none
cutmix_alpha: float = None  # alpha of CutMix, 0 for none
regmixup_alpha: float = None  # alpha of RegMixup, 0 for none
erase: float = None  # probability of random erasing, 0 for none
skip_easy: float = None  # share of the images, easy ones, that the middle epochs leave out, 0 up to 0.7
resize: str = None  # sizes of the images in early epochs, with their shares of the epochs: 24x0.4,28x0.3
ema: float = None  # decay of the averaged weights per step, 0 for none
split: str = None  # paper (validate on the official test images) or holdout (16 % of the training images)
seed: int = None  # seed of the weights, the order and the augmentation
amp: str = "auto"  # precision of the matrix products: auto, bf16, fp16 or fp32
compile: str = "auto"  # faster kernels: on (made first, in minutes), off, auto (on for long runs on GPUs)
gpus: int = 1  # GPUs that share every batch (if two T4s hang at the start, set the variable NCCL_P2P_DISABLE to 1)
resume: bool = True  # go on from the checkpoint of the run, False to start over
max_hours: float = 0.0  # stop cleanly after so many hours, 0 for 11.5 on Kaggle and no limit elsewhere
track: str = ""  # tracker of the course (empty for that of KIT_TRACK, or none): tensorboard, wandb, trackio or mlflow

# %% [markdown]
# The parameters are checked before any work, and before the seconds that torch's import takes: a misspelt or impossible
# one stops here.

# %%
from kit.parameters import check_cell

settings = check_cell("train", globals(), _before)

# %% [markdown]
# A budget (`minutes` or `pflop`) now chooses the epochs. The table shows the recipe that will be trained.

# %% tags=["not-in-report"]
import pandas as pd

from kit.data import load
from kit.train import fit_to_budget, launch

dataset = load(settings.data)
settings = fit_to_budget(settings, dataset)
pd.Series(settings.recipe.as_dict(), name=f"recipe {settings.recipe_name}").to_frame()

# %% [markdown]
# ## The network
#
# The competition allows 5,000,000 trainable parameters, and a network with more stops here. Each bar is one part of
# the network, from the image at the top to the classes at the bottom.

# %%
from kit import plots
from kit.model import PARAMETER_BUDGET, build, check_budget, draft, summarize

parameters = check_budget(draft(settings.recipe.architecture, len(dataset.classes)))
network = build(settings.recipe.architecture, classes=len(dataset.classes))
print(f"{parameters:,} trainable parameters of {PARAMETER_BUDGET:,} allowed")
plots.architecture(summarize(network), f"{settings.recipe.arch}: {parameters:,} trainable parameters")

# %% [markdown]
# ## Training
#
# One row per epoch, and one figure that is redrawn while the network learns. Interrupting the kernel (the stop button)
# saves everything; running the cell again goes on from there.

# %%
print(f"{dataset.source}: {len(dataset.train_images):,} training images")
trained = launch(settings, dataset, [plots.LiveCurves()])

# %% [markdown]
# ## The paper's three figures
#
# Training loss, test loss and accuracy against epochs. The training curves are measured while the network learns, on
# augmented images and, if the recipe has `skip_easy`, without the easy ones. These are harder than the images as they
# are, so a training curve may look worse than the test curve. Label smoothing raises the training loss: with smoothed
# labels no network reaches a loss of zero.

# %%
trained.save_figure(plots.training_loss(trained.history, bool(trained.recipe.label_smoothing)), "training_loss")

# %% [markdown]
# The loss on the validation images, without augmentation.

# %%
trained.save_figure(plots.validation_loss(trained.history), "test_loss")

# %% [markdown]
# The accuracy, the share of right answers, on both.

# %%
trained.save_figure(plots.accuracy(trained.history), "accuracy")

# %% [markdown]
# The learning rate at the end of each epoch.

# %%
trained.save_figure(plots.learning_rate(trained.history), "learning_rate")

# %% [markdown]
# The norm of the gradient, averaged over the steps of each epoch. A sudden rise is a sign of unstable training.

# %%
trained.save_figure(plots.gradient_norm(trained.history), "gradient_norm")

# %% [markdown]
# ## The result
#
# The submission uses the weights of the last epoch. The best epoch was chosen on the validation images themselves, so
# its accuracy is optimistic.

# %%
print(trained.summary())
