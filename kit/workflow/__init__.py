"""The notebooks through papermill, in order.

In: notebook parameters. Out: executed notebooks, and pages made of them.
May import: ablation, data, errors, model, parameters, plots, recipe, run, submission, system.
A lazy door (kit.system.lazyimports): the list of recipes, and the process of a sweep's job, need no torch.
"""

from typing import TYPE_CHECKING

from kit.system.lazyimports import lazy_imports

if TYPE_CHECKING:
    from kit.workflow.chain import demo, run_notebooks
    from kit.workflow.listing import print_recipe, print_recipes
    from kit.workflow.notebook import execute, notebook_path
    from kit.workflow.reports.allruns import write_index
    from kit.workflow.reports.onerun import write_report

__all__, __dir__, __getattr__ = lazy_imports(__name__)
