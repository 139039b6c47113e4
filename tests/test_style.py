"""The code keeps its own rules."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

MODULES = sorted((ROOT / "kit").rglob("*.py"))


@pytest.mark.parametrize("words", [("check",), ("format", "--check")], ids=" ".join)
def test_ruff_has_nothing_to_say(words):
    answer = subprocess.run([sys.executable, "-m", "ruff", *words, "--no-cache", "kit", "tests", "notebooks"],
                            cwd=ROOT, capture_output=True, text=True)  # fmt: skip
    assert answer.returncode == 0, answer.stdout


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short_and_public_ones_are_explained(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize(
    ("part", "allowed"),
    [
        ("lookahead.py", set()),
        ("model", {"errors", "system"}),
        ("augment", {"errors", "system"}),
        ("data", {"errors", "system"}),
    ],
)
def test_what_can_be_lifted_out_knows_nothing_of_the_rest(part, allowed):
    place = ROOT / "kit" / part
    for path in [place] if place.is_file() else place.glob("*.py"):
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        modules = [n.module for n in nodes if n.module and n.module.split(".")[0] == "kit"]
        imported = {module.split(".")[1] if "." in module else "kit" for module in modules}
        assert imported <= allowed | {place.stem}, path.name
