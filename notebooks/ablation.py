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
# # Ablation
#
# All runs beside each other: those of runs/ on this machine and those kept in notebooks/results/.

# %%
# Find the kit: in this checkout, attached read-only on Kaggle, or cloned from its address where that is set (Colab).
import subprocess
import sys
from pathlib import Path

_address = ""  # of the repository; `python -m kit.colab ADDRESS` sets it
_places = [Path.cwd(), *Path.cwd().parents, *Path("/kaggle/input").glob("**/kit/.."), Path("kit-clone")]
if _address and not any((p / "kit" / "parameters.py").is_file() for p in _places):
    subprocess.run(["git", "clone", "--quiet", "--depth=1", _address, "kit-clone"], check=True)
    subprocess.run([sys.executable, "-m", "kit.colab"], cwd="kit-clone", check=True)  # what is missing, never torch
sys.path[:0] = [str(p.resolve()) for p in _places if (p / "kit" / "parameters.py").is_file()][:1]

# %% [markdown]
# One row a run, the highest accuracy of the last epoch first. The best epoch was chosen on the validation images.

# %%
from kit import ablation, plots

runs = ablation.finished_runs()
table = ablation.table(runs)
table

# %% [markdown]
# The validation accuracy of all runs against epochs.

# %%
plots.compare_runs({run.name: run.history for run in runs})
