"""pyproject.toml, requirements.txt and the lock name the same packages."""

import re
import tomllib

from conftest import ROOT
from packaging.requirements import Requirement

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def requirements(lines):
    stripped = (line.partition("#")[0].strip() for line in lines)
    return {Requirement(line).name: Requirement(line) for line in stripped if line}


def test_the_requirements_are_the_dependencies_and_the_tests_tools():
    extra = PROJECT["optional-dependencies"]["dev"]
    listed = requirements((ROOT / "requirements.txt").read_text().splitlines())
    assert listed == requirements(PROJECT["dependencies"] + extra)


def test_torch_is_never_pinned():
    listed = requirements((ROOT / "requirements.txt").read_text().splitlines())
    for name in ("torch", "torchvision"):
        assert {specifier.operator for specifier in listed[name].specifier} == {">="}


def test_the_lock_holds_an_exact_and_allowed_version_of_everything():
    lines = (ROOT / ".ci" / "lock.txt").read_text().splitlines()
    locked = dict(re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups() for line in lines if line and line[0] != "#")
    locked = {name.lower().replace("_", "-"): version for name, version in locked.items()}
    for name, wanted in requirements((ROOT / "requirements.txt").read_text().splitlines()).items():
        assert wanted.specifier.contains(locked[name.lower()]), name
