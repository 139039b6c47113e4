"""The notebooks through papermill, in order.

In: notebook parameters. Out: executed notebooks.
May import: data, errors, parameters, recipe, run, submission, system.
"""

from kit.workflow.chain import demo, list_recipes, run_notebooks
from kit.workflow.notebook import execute, notebook_path

__all__ = [
    "demo",
    "execute",
    "list_recipes",
    "notebook_path",
    "run_notebooks",
]
