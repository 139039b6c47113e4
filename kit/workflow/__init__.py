"""The notebooks through papermill, in order.

In: notebook parameters. Out: executed notebooks.
May import: data, errors, model, parameters, recipe, run, submission, system.
A lazy door (kit.system.door): the list of recipes, and the process of a sweep's job, need no torch.
"""

from typing import TYPE_CHECKING

from kit.system.door import door

if TYPE_CHECKING:
    from kit.workflow.chain import demo, run_notebooks
    from kit.workflow.listing import print_recipe, print_recipes
    from kit.workflow.notebook import execute, notebook_path

__all__, __dir__, __getattr__ = door(__name__)
