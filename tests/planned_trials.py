"""What the tests of sweeps share: plans from command lines, finished runs of their trials, and an own workspace."""

import json

import pytest
import torch

from kit.__main__ import build_parser
from kit.sweep import keeping
from kit.sweep.plan import planned
from kit.sweep.request import read_request


def plan(*words):
    return planned(read_request(build_parser().parse_args(["sweep", *words])))


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """An own folder for runs/, build/ and the results that are kept."""
    for module in ("kit.run.folder", "kit.competition.kernel"):
        monkeypatch.setattr(f"{module}.workspace", lambda: tmp_path)
    monkeypatch.setattr(keeping, "RESULTS", tmp_path / "results")
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    monkeypatch.setattr("kit.data.locations.workspace", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


def write_finished(trial, accuracy=50.0, **config):
    """The files of a finished run of a trial, as far as a sweep looks at them."""
    folder = trial.run.folder
    folder.mkdir(parents=True)
    classes = [str(digit) for digit in range(10)]
    words = {"recipe": trial.recipe.as_dict(), "data": "digits", "classes": classes}
    words |= {"images": 1438, "command": "a notebook", "device": "a CPU", "threads": 1, "amp": "float32"} | config
    (folder / "config.json").write_text(json.dumps(words))
    (folder / "history.csv").write_text("epoch,validation_accuracy,images_per_second\n1,50.0,100.0\n")
    figures = {"last_accuracy": accuracy, "best_accuracy": accuracy + 1, "wall_seconds": 120.0, "parameters": 1000}
    figures |= {"train_accuracy": accuracy + 2, "epochs": trial.recipe.epochs, "split": trial.recipe.split}
    (folder / "metrics.json").write_text(json.dumps(figures))
    return folder
