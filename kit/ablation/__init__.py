"""The paper's tables beside ours: which run repeats which row, differences and their significance.

In: finished runs and kept records. Out: Markdown tables for the notebook and the README.
May import: data, errors, model, recipe, run, system.
"""

from kit.ablation.comparisons import LAST, figures_of, gap_by_seed, histories_by_images, other_runs, single_runs
from kit.ablation.experiments import ARCH_SCALES, TABLES, Experiment, at_scale, is_about_epochs, table_named
from kit.ablation.records import (
    FINAL,
    RESULTS,
    Repetition,
    all_repetitions,
    differences_in_recipe,
    finished_runs,
    recipe_of,
    settings_of,
)
from kit.ablation.report import agreement_tables, difference_tables, gap_tables, in_words, paper_tables, tried_tables

__all__ = [
    "ARCH_SCALES",
    "FINAL",
    "LAST",
    "RESULTS",
    "TABLES",
    "Experiment",
    "Repetition",
    "agreement_tables",
    "all_repetitions",
    "at_scale",
    "difference_tables",
    "differences_in_recipe",
    "figures_of",
    "finished_runs",
    "gap_by_seed",
    "gap_tables",
    "histories_by_images",
    "in_words",
    "is_about_epochs",
    "other_runs",
    "paper_tables",
    "recipe_of",
    "settings_of",
    "single_runs",
    "table_named",
    "tried_tables",
]
