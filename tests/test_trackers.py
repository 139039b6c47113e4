"""Trackers: what the real packages hold after a run that was stopped and went on; and one that fails harms nothing."""

import json
import sqlite3
import struct
import subprocess
import sys
import threading
from contextlib import closing
from types import SimpleNamespace

import pytest
from conftest import ROOT
from made_up_runs import SMALL, make_run
from training_process import few_digits

from kit import parameters
from kit.errors import KitError
from kit.parameters import check, tracker_named
from kit.run import Run
from kit.train.callbacks import Callbacks
from kit.train.loop import train
from kit.train.trackers import tracking
from kit.train.trackers.tracking import Tracking

ACCURACIES = [30, 40, 50, 60]  # of four epochs
TINY = SMALL.replace(epochs=1, arch="4,8/1,1", batch_size=128)


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """Tests may run on a machine that is too busy to import a tracker in seconds."""
    for name in ("SECONDS", "STOPPED_SECONDS"):
        monkeypatch.setattr(tracking, name, 300.0)


def follow_in_two_sessions(folder, kind):
    """A run that is stopped after two of four epochs and goes on from a checkpoint of the first."""
    run = make_run(folder / "runs", "one", SMALL.replace(epochs=4))
    rows, metrics = run.history.to_dict("records"), run.metrics_path.read_text()
    run.metrics_path.unlink()
    for first, last in ((1, 2), (1, 4)):
        run.save_history(rows[:first])
        callback = Tracking(kind)
        callback.begin(run)
        for epoch in range(first + 1, last + 1):
            run.save_history(rows[:epoch])
            callback.epoch(run)
        if last == 4:
            run.metrics_path.write_text(metrics)
        callback.end(run)
    return run


def test_tensorboard_shows_one_course_of_both_sessions(tmp_path):
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = follow_in_two_sessions(tmp_path, "tensorboard")
    (folder,) = (run.folder / "tensorboard").iterdir()
    told = EventAccumulator(str(folder)).Reload()
    values = [(event.step, event.value) for event in told.Scalars("validation_accuracy")]
    assert values == list(enumerate(ACCURACIES, start=1))
    assert told.Scalars("final/last_accuracy")[0].value == 60
    assert told.Tags()["images"] == ["course"]
    (text,) = told.Tensors("config/text_summary")
    assert "|arch|tiny|" in text.tensor_proto.string_val[0].decode()


def test_mlflow_holds_one_run_of_both_sessions(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    run = follow_in_two_sessions(tmp_path, "mlflow")
    client = mlflow.MlflowClient((run.folder.parent / "mlruns").as_uri())
    (told,) = client.search_runs([client.get_experiment_by_name("cifar10-kit").experiment_id])
    assert (told.info.status, told.info.run_name) == ("FINISHED", "one")
    assert told.data.params["arch"] == "tiny" and told.data.metrics["final/last_accuracy"] == 60
    values = [(each.step, each.value) for each in client.get_metric_history(told.info.run_id, "validation_accuracy")]
    assert values == list(enumerate(ACCURACIES, start=1))
    assert [each.path for each in client.list_artifacts(told.info.run_id)] == ["course.png"]


def records_of_wandb(path):
    """The records of a .wandb file: after 7 bytes LevelDB's log, whose blocks of 32 KiB hold parts of records."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts, at = parts + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


def values_of(items):
    return {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in items}


@pytest.mark.slow
def test_wandb_offline_keeps_sessions_of_one_run_that_sync_joins(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = follow_in_two_sessions(tmp_path, "wandb")
    files = sorted(run.folder.glob("wandb/offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)
    records = [record for path in files for record in records_of_wandb(path)]
    ids = [record.run.run_id for record in records if record.WhichOneof("record_type") == "run"]
    assert len(ids) == 2 and len(set(ids)) == 1
    rows = [values_of(record.history.item) for record in records if record.WhichOneof("record_type") == "history"]
    values = [(row["_step"], row["epoch"], row["validation_accuracy"]) for row in rows if "validation_accuracy" in row]
    assert values == [(k, k, value) for k, value in enumerate(ACCURACIES, start=1)]
    assert values_of(item for record in records for item in record.summary.update)["final/last_accuracy"] == 60
    assert list(run.folder.glob("wandb/*/files/media/images/course*.png"))


def test_trackio_holds_one_run_of_both_sessions(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio", reason="trackio is not installed")
    follow_in_two_sessions(tmp_path, "trackio")
    with closing(sqlite3.connect(tmp_path / "trackio" / "cifar10-kit.db")) as database:
        told = database.execute("select run_name, step, metrics from metrics order by id").fetchall()
    assert len({name for name, _, _ in told}) == 1
    rows = [(step, json.loads(values)) for _, step, values in told]
    values = [(step, row["validation_accuracy"]) for step, row in rows if "validation_accuracy" in row]
    assert values == list(enumerate(ACCURACIES, start=1))
    assert "course" in rows[-2][1] and rows[-1][1]["final/last_accuracy"] == 60


class Failing:
    """A tracker that raises from the call named `where`."""

    id = "x"

    def __init__(self, where):
        self._where = where

    def __getattr__(self, name):
        def call(*_):
            if name == self._where:
                raise ConnectionError("no network")

        return call


def adapters(monkeypatch, adapter):
    """Let every tracker be made by `adapter`."""
    module = SimpleNamespace(Adapter=adapter)
    monkeypatch.setattr(tracking, "importlib", SimpleNamespace(import_module=lambda name: module))


@pytest.mark.parametrize("where", ["start", "log", "figure", "finish"])
def test_a_tracker_that_raises_costs_one_line_and_no_training(tmp_path, monkeypatch, capsys, where):
    def start(*_):
        if where == "start":
            raise ConnectionError("no network")
        return Failing(where)

    adapters(monkeypatch, start)
    monkeypatch.setattr(parameters, "find_spec", lambda name: True)
    run = train(TINY, few_digits(), Run(tmp_path / where), track="wandb")
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning:")]
    assert run.finished
    assert told == ["warning: track wandb is off from now on, the training goes on: ConnectionError: no network"]


def test_a_tracker_that_never_answers_is_left_behind(tmp_path, monkeypatch, capsys):
    silence = threading.Event()
    adapters(monkeypatch, lambda *_: silence.wait())
    monkeypatch.setattr(tracking, "SECONDS", 0.2)
    run = make_run(tmp_path, "one", SMALL)
    with Callbacks([Tracking("wandb")], run):
        pass
    silence.set()
    assert capsys.readouterr().out.endswith("TimeoutError: no answer in 0 s\n")


def test_a_finished_run_is_sent_once(tmp_path, monkeypatch):
    made = []
    adapters(monkeypatch, lambda *arguments: made.append(arguments) or Failing(""))
    run = make_run(tmp_path, "one", SMALL)
    for _ in range(2):
        with Callbacks([Tracking("wandb")], run):
            pass
    assert len(made) == 1
    run.clear()
    assert not (run.folder / tracking.STATE).exists(), "a training that starts over begins another run of the tracker"


def test_a_tracker_is_named_by_parameter_or_variable_and_its_package_has_to_be_there(monkeypatch):
    monkeypatch.delenv("KIT_TRACK", raising=False)
    assert tracker_named("") == "" and check("train", {"track": ""}).track == ""
    monkeypatch.setattr(parameters, "find_spec", lambda name: None)
    with pytest.raises(KitError, match=r"track mlflow needs a package .*: type `pip install mlflow-skinny` first"):
        tracker_named("mlflow")
    monkeypatch.setenv("KIT_TRACK", "wandbb")
    with pytest.raises(KitError, match=r"KIT_TRACK has to be one of tensorboard, wandb.*did you mean wandb"):
        tracker_named("")
    with pytest.raises(KitError, match="track has to be one of tensorboard, wandb, trackio, mlflow, or empty for"):
        check("train", {"track": "excel"})


@pytest.mark.slow
def test_nothing_of_a_tracker_is_imported_unless_asked_for():
    code = "import sys, kit.train; print(sorted({'tensorboard', 'wandb', 'trackio', 'mlflow'} & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told == "[]\n"


@pytest.mark.parametrize("kind", parameters.TRACKERS)
def test_every_tracker_has_a_module_and_an_extra(kind):
    assert (ROOT / "kit" / "train" / "trackers" / f"{kind}.py").is_file()
    assert f'{kind} = ["{parameters.TRACKERS[kind]}' in (ROOT / "pyproject.toml").read_text()
