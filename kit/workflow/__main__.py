"""`python -m kit.workflow`: rebuild every notebooks/X.ipynb, without outputs, from the X.py beside it."""

import jupytext

from kit.system import files
from kit.system.paths import ROOT


def rebuild() -> list[str]:
    """Rebuild the .ipynb files that differ from their .py, and return their names."""
    changed = []
    for source in sorted((ROOT / "notebooks").glob("*.py")):
        target, text = source.with_suffix(".ipynb"), ipynb_of(source.read_text())
        if not target.is_file() or target.read_text() != text:
            files.write_text(target, text)
            changed.append(target.name)
    return changed


def ipynb_of(source: str) -> str:
    """The .ipynb text of a notebook in py:percent form; cells are numbered, so that equal sources give equal bytes."""
    notebook = jupytext.reads(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return jupytext.writes(notebook, fmt="ipynb") + "\n"


if __name__ == "__main__":
    for name in rebuild():
        print(f"rebuilt notebooks/{name}")
