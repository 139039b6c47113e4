"""The kit on Colab: install what is missing there, never torch; and give the notebooks the repository's address.

python -m kit.colab                                    what the notebooks' first cell runs after it has cloned
python -m kit.colab https://github.com/owner/name      once, by the owner of the repository
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
# Never installed or upgraded: torch fits the machine's CUDA, and the rest is the session that runs the notebook, which
# has these modules loaded: Colab asks for a restart if one of them changes.
KEPT = ("torch", "torchvision", "ipykernel", "jupyter-client", "jupyter-core", "ipython", "traitlets", "tornado",
        "pyzmq")  # fmt: skip
FIRST_CELL = """\
# Find the kit: above this folder or this notebook, attached on Kaggle, or cloned from its address if set (Colab).
import os
import subprocess
import sys
from pathlib import Path

_address = "{address}"  # of the repository; `python -m kit.colab ADDRESS` sets it
_own = Path(globals().get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME") or "_").resolve()
_places = [*Path("_").resolve().parents, *_own.parents, *Path("/kaggle/input").glob("**/kit/.."), Path("kit-clone")]
if _address and not any((p / "kit" / "parameters.py").is_file() for p in _places):
    subprocess.run(["git", "clone", "--depth=1", _address, "kit-clone"], check=True)
    subprocess.run([sys.executable, "-m", "kit.colab"], cwd="kit-clone", check=True)  # what is missing, never torch
sys.path[:0] = [str(p.resolve()) for p in _places if (p / "kit" / "parameters.py").is_file()][:1]
__import__("kit")  # not found? Start in the repository's folder, or add `--cwd REPOSITORY` to papermill's options
_before = set(globals())  # what comes next are parameters"""
# `hide-input` folds the cell in Jupyter Book and nbconvert, `source_hidden` in JupyterLab.
FIRST_CELL_METADATA = {"tags": ["hide-input"], "jupyter": {"source_hidden": True}}
CELL_METADATA_FILTER = "tags,jupyter,-all"
_COLAB = "https://colab.research.google.com"
_BADGE = f"[![Open in Colab]({_COLAB}/assets/colab-badge.svg)]({_COLAB}/github/"


def missing(requirements: str) -> list[str]:
    """Requirements of the text's first part, before the tests' tools, that are not installed or are too old."""
    needed = requirements.partition("# the tests")[0].splitlines()
    lines = [line.partition("#")[0].strip() for line in needed]
    return [line for line in lines if line and not _is_there(Requirement(line))]


def _is_there(requirement: Requirement) -> bool:
    try:
        if canonicalize_name(requirement.name) in KEPT:
            return True
        return requirement.specifier.contains(version(requirement.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def install_missing() -> None:
    """Install what the kit lacks here with pip, holding torch and the session's own packages to what is installed.

    Prints what it will install, and what it has installed; pip says nothing unless it fails.

    Raises:
        subprocess.CalledProcessError: pip failed; its output says why.
    """
    if wanted := missing((ROOT / "requirements.txt").read_text()):
        held = [f"{name}=={installed}" for name in KEPT if (installed := _version(name))]
        began, names = time.monotonic(), [Requirement(line).name for line in wanted]
        print(f"installing {', '.join(names)}: this may take a minute or two", flush=True)  # before pip works
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted, *held], check=True)
        installed = ", ".join(f"{name} {_version(name) or ''}".strip() for name in names)
        print(f"installed {installed} in {time.monotonic() - began:.0f} s", flush=True)


def set_address(address: str, folder: str | Path = ROOT / "notebooks") -> None:
    """Make FIRST_CELL with the repository's address every notebook's first code cell, and put a badge under its title.

    Args:
        address: https://github.com/owner/name; another address gets no badge, for Colab opens GitHub's only; an
            empty one takes both away.
        folder: where the notebooks lie, each as .ipynb and .py.
    """
    import jupytext

    for path in sorted(path for path in Path(folder).glob("*.ipynb") if path.with_suffix(".py").is_file()):
        notebook = jupytext.read(path)
        title, code = notebook.cells[0], next(cell for cell in notebook.cells if cell.cell_type == "code")
        title.source = title.source.partition(f"\n\n{_BADGE}")[0]
        if address.startswith("https://github.com/"):
            repository = address.removeprefix("https://github.com/").removesuffix(".git").strip("/")
            title.source += f"\n\n{_BADGE}{repository}/blob/main/notebooks/{path.name})"
        code.source = FIRST_CELL.format(address=address)
        code.metadata.update(FIRST_CELL_METADATA)
        notebook.metadata["jupytext"]["cell_metadata_filter"] = CELL_METADATA_FILTER
        jupytext.write(notebook, path.with_suffix(".py"), fmt="py:percent")
        jupytext.write(notebook, path)


def main(arguments: Sequence[str] | None = None) -> None:
    """Install what is missing, or set the address that is given."""
    parser = argparse.ArgumentParser(prog="python -m kit.colab", description=__doc__.partition("\n")[0])
    parser.add_argument("address", nargs="?", help="of the repository, for the notebooks; '' takes it out of them")
    address = parser.parse_args(arguments).address
    if address is None:
        install_missing()
    elif not re.fullmatch(r"((https?|ssh)://|git@)\S+|", address):
        parser.error(f"address has to begin with https://, ssh:// or git@, not {address!r}")
    else:
        set_address(address)


if __name__ == "__main__":
    main()
