"""One notebook that carries the kit inside, for a place that takes a notebook and nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from kit.errors import KitError
from kit.parameters import NOTEBOOKS, check
from kit.system.package import package_files
from kit.system.paths import workspace

LARGEST = 1_000_000  # bytes that Kaggle takes for the source of a notebook
_FOLDED = {"_kg_hide-input": True, "jupyter": {"source_hidden": True}}
_PACKAGE = Path(__file__).resolve().parents[1]


def carry(notebooks: Sequence[str | Path], parameters: Mapping[str, Any], before: str = "", after: str = "") -> str:
    """Join notebooks into one that runs in an empty folder without the kit installed.

    The kit's files come first, one folded `%%writefile` cell each, so that whoever reads the notebook can
    read them too. Then every notebook follows, with its parameters set and in a namespace of its own.

    Args:
        notebooks: names of NOTEBOOKS in `kit.parameters`, or .ipynb files of these names, in running order.
        parameters: values for the parameters cells; each notebook gets those that it knows.
        before: code to run between the kit and the first notebook.
        after: code to run at the end.

    Returns:
        The notebook as JSON.

    Raises:
        KitError: no such notebook, a parameter that none of them knows or a value it refuses, or a notebook
            larger than Kaggle takes.
    """
    paths = [_existing(path) for path in notebooks]
    _check_names(paths, parameters)
    cells = [new_markdown_cell(_heading(paths)), *_package_cells()]
    if before:
        cells.append(new_code_cell(before))
    for path in paths:
        cells += [new_code_cell("%reset -f"), *_parameterized(path, parameters).cells]  # as in a kernel of its own
    if after:
        cells.append(new_code_cell(after))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # unique, and the same at every build
    kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernelspec})
    nbformat.validate(notebook)
    text = json.dumps(notebook, ensure_ascii=False)  # nbformat writes each line of a cell apart: a quarter more bytes
    if len(text.encode()) > LARGEST:
        raise KitError(f"the notebook has {len(text.encode()):,} bytes, Kaggle takes {LARGEST:,}; push fewer notebooks")
    return text


def takes(notebook: str | Path, parameter: str) -> bool:
    """Whether the notebook has a parameter of that name."""
    return parameter in NOTEBOOKS.get(Path(notebook).stem, ())


def _existing(notebook: str | Path) -> Path:
    path = Path(notebook)
    if path.stem not in NOTEBOOKS:
        raise KitError(f"{notebook} is no notebook of the kit; choose among {', '.join(NOTEBOOKS)}")
    if path.suffix:
        places = [path]
    else:
        places = [folder / "notebooks" / f"{notebook}.ipynb" for folder in (_PACKAGE.parent, workspace())]
    for place in places:
        if place.is_file():
            return place
    raise KitError(
        f"{places[-1]} is missing: an installed kit has no notebooks, so run this in a clone of the repository, or in "
        "the folder that holds a copy of its notebooks/"
    )


def _check_names(paths: Sequence[Path], parameters: Mapping[str, Any]) -> None:
    known = {name for path in paths for name in NOTEBOOKS[path.stem]}
    if unknown := [name for name in parameters if not any(takes(path, name) for path in paths)]:
        raise KitError(f"{unknown[0]} is not a parameter here; there are {', '.join(sorted(known))}")


def _heading(paths: Sequence[Path]) -> str:
    names = ", ".join(path.stem for path in paths)
    return (
        f"# kit: {names}\n\nThe folded cells below write the library `kit` into this folder, so that the "
        "notebook runs without internet and without anything installed. Written by `python -m kit push`."
    )


def _package_cells() -> list[NotebookNode]:
    sources = package_files()
    folders = sorted({path.parent.relative_to(_PACKAGE.parent).as_posix() for path in sources})
    make = "import os\n\n" + "\n".join(f"os.makedirs({folder!r}, exist_ok=True)" for folder in folders)
    return [new_code_cell(make), *map(_writefile, sources)]


def _writefile(path: Path) -> NotebookNode:
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(_PACKAGE.parent).as_posix()
    # the magic refuses an empty body, and adds the line end that a cell's last line lacks
    return new_code_cell(f"%%writefile {name}\n{text.removesuffix(chr(10)) or '# empty'}", metadata=_FOLDED)


def _parameterized(path: Path, parameters: Mapping[str, Any]) -> NotebookNode:
    own = {name: value for name, value in parameters.items() if takes(path, name)}
    check(path.stem, own)
    notebook = load_notebook_node(str(path))
    if not any("parameters" in cell.metadata.get("tags", ()) for cell in notebook.cells) and own:
        raise KitError(f"{path} has no cell tagged `parameters`; add the tag to the cell that sets them")
    return parameterize_notebook(notebook, own) if own else notebook
