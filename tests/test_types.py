"""Types: mypy finds no error in the kit, with the settings of pyproject.toml."""

import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from conftest import ROOT
from packaging.version import Version


@pytest.mark.slow
def test_mypy_finds_no_error_in_the_kit():
    lock = (ROOT / ".ci" / "lock.txt").read_text()
    for package in ("mypy", "numpy", "torch"):  # an older one has other stubs
        locked = re.search(rf"^{package}==(.+)$", lock, re.M)[1]
        if Version(version(package)) < Version(locked):
            pytest.skip(f"{package} {version(package)} is older than {locked}, for which the types were written")
    answer = subprocess.run([sys.executable, "-m", "mypy"], cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert answer.returncode == 0, answer.stdout + answer.stderr
