"""What several test files share: the embedded digits, a run trained on them, and a copy of the project to write in."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported: two processes with a thread each on two cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# What imports torch is imported by the fixtures: the process that hands out the tests needs none of it.

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items):
    slow = {item.path for item in items if "slow" in item.keywords}
    items.sort(key=lambda item: item.path not in slow)  # files with slow tests first, so that both workers end together
    if not os.environ.get("CIFAR10_DIR"):
        skip = pytest.mark.skip(reason="set CIFAR10_DIR to the real images to run this")
        for item in items:
            if "real" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def digits():
    from kit.data.loading import load

    return load("digits")


@pytest.fixture(scope="session")
def digits_recipe():
    from kit.recipe import RECIPES

    return RECIPES["digits"].replace(epochs=2)


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory, digits, digits_recipe):
    """A finished run of two epochs."""
    from kit.run import Run
    from kit.train.loop import train

    return train(digits_recipe, digits, Run(tmp_path_factory.mktemp("runs") / "digits"))


@pytest.fixture
def model():
    """A small network with random weights, in evaluation mode."""
    import torch

    from kit.model.resnet import build

    torch.manual_seed(1)
    return build("8,16/1,1").eval()


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """A copy of the kit and its notebooks, whose runs/ and submissions/ are its own."""
    root = tmp_path_factory.mktemp("project")
    for part in ("kit", "notebooks"):
        shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__", "*.out.ipynb"))
    return root


@pytest.fixture(scope="session")
def command(project):
    """Run a command in the copy of the project and return what came of it."""

    def call(*words, cwd=project, **environment):
        env = os.environ | {"MPLBACKEND": "agg"} | environment
        env.pop("PYTHONPATH", None)
        words = [sys.executable, *words] if words[0] == "-m" else words
        return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=280)

    return call


@pytest.fixture
def paper(tmp_path):
    """A CSV of fifty rows that Kaggle would take."""
    path = tmp_path / "submissions" / "paper.csv"
    path.parent.mkdir()
    path.write_text("ID,Labels\n" + "".join(f"{i},{i % 10}\n" for i in range(50)))
    return path


@pytest.fixture
def record(tmp_path):
    """Where the ledger beside it will be."""
    return tmp_path / "submissions" / "ledger.csv"


@pytest.fixture
def heeded_interrupts():
    """Ctrl-C as in a terminal, also where the tests run in the background and inherit that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True)
def _seeded():
    import torch

    torch.manual_seed(0)


@pytest.fixture
def browser():
    """Chromium, for one test alone: while it runs, playwright holds the thread's event loop."""
    if not BROWSER:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with pytest.importorskip("playwright.sync_api").sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()
