"""Compare our runs with the paper's tables: which run repeats which row, differences and their significance.

In: finished runs and kept records. Out: Markdown tables for the notebook and the README.
May import: data, errors, model, recipe, run, system.
A lazy door (kit.system.lazyimports), since the names of tables and rows need no torch.
"""

from typing import TYPE_CHECKING

from kit.system.lazyimports import lazy_imports

if TYPE_CHECKING:
    from kit.ablation.comparisons import LAST, figures_of, gap_by_seed, histories_by_images, other_runs, single_runs
    from kit.ablation.experiments import TABLES, Experiment, at_scale, is_about_epochs, table_named
    from kit.ablation.records import (
        FINAL,
        RESULTS,
        Repetition,
        all_repetitions,
        data_of,
        differences_in_recipe,
        finished_runs,
        kept_course,
        mark,
        recipe_of,
        settings_of,
    )
    from kit.ablation.tables import (
        agreement_tables,
        difference_tables,
        gap_tables,
        in_words,
        paper_tables,
        tried_tables,
    )

__all__, __dir__, __getattr__ = lazy_imports(__name__)
