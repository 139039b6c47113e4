# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
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
# What a trained network gets wrong, and what that says about the next thing to try.

# %%
# Find the kit: in this checkout, or attached read-only on Kaggle.
import sys
from pathlib import Path

_places = [Path.cwd(), *Path.cwd().parents, *Path("/kaggle/input").glob("**/kit/..")]
sys.path[:0] = [str(p.resolve()) for p in _places if (p / "kit" / "parameters.py").is_file()][:1]

# %% tags=["parameters"]
data: str = "auto"  # where the images come from: auto, digits, or a folder
run: str = ""  # name of the run folder under runs/, by default the one that was started last
weights: str = "last"  # the epoch whose weights predict: last or best
other: str = ""  # a second run to compare with
amp: str = "auto"  # precision of the matrix products: auto, bf16, fp16 or fp32

# %%
from kit.parameters import check

settings = check("misclassification", globals())
