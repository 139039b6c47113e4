"""Two processes over gloo: the same weights everywhere, the step of one process, resumes, and an end where one dies."""

import sys
import threading
from itertools import accumulate
from pathlib import Path

import pytest
import torch
from distributed_training import RECIPE, STEPS, one_step

from kit.errors import KitError
from kit.parameters import Settings, as_arguments
from kit.run import Run
from kit.system.interrupt import Stopped
from kit.train.distributed import CONTACT_SECONDS, World, check_contact, joined_world
from kit.train.launch import launch, run_and_print, torchrun

SCRIPT = Path(__file__).with_name("distributed_training.py")


def two_processes(task, folder):
    run_and_print([*torchrun(2, [])[:-3], str(SCRIPT), task, str(folder)])  # in the place of -m -- kit.train


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two processes found, and their folder."""
    folder = tmp_path_factory.mktemp("world")
    two_processes("work", folder)
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1)], folder


@pytest.mark.slow
def test_a_step_of_two_processes_is_the_step_of_one(ranks):
    alone = one_step(World())
    for found in ranks[0]:
        torch.testing.assert_close(found["step"]["parameters"], alone["parameters"], rtol=1e-5, atol=1e-6)
        assert found["step"]["totals"] == pytest.approx(alone["totals"], rel=1e-5)


@pytest.mark.slow
def test_parameters_and_buffers_are_identical_after_every_epoch(ranks):
    first, second = (found["epochs"] for found in ranks[0])
    assert len(first) == len(second) == RECIPE.epochs
    for a, b in zip(first, second, strict=True):
        assert set(a) == {"0", "1"}  # the network and its average
        for network in a:
            assert a[network].keys() == b[network].keys()
            assert [name for name, value in a[network].items() if not torch.equal(value, b[network][name])] == []
    start, end = first[0]["0"], first[-1]["0"]
    assert not torch.equal(start["classifier.weight"], end["classifier.weight"])


@pytest.mark.slow
def test_a_run_that_one_process_stopped_goes_on_as_if_unbroken(ranks):
    found, folder = ranks
    assert found[0]["stops"] == found[1]["stops"]
    assert found[0]["stops"][-1] == sum(STEPS) and len(found[0]["stops"]) == 3
    assert not {*found[0]["stops"][:2]} & {*accumulate(STEPS)}  # inside an epoch
    unbroken, broken = Run(folder / "unbroken"), Run(folder / "broken")
    for kind in ("last", "best"):
        assert broken.weights_path(kind).read_bytes() == unbroken.weights_path(kind).read_bytes()
    times = ["seconds", "images_per_second"]
    assert broken.history.drop(columns=times).equals(unbroken.history.drop(columns=times))


def test_gpus_that_do_not_answer_end_the_run_with_a_sentence(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda _value: never.wait())
    with pytest.raises(KitError, match="set NCCL_P2P_DISABLE=1"):
        check_contact(torch.device("cpu"), seconds=0.1)
    assert CONTACT_SECONDS < 120
    never.set()
    check_contact(torch.device("cpu"), seconds=5)


def test_an_error_of_the_first_contact_is_not_taken_for_silence(monkeypatch):
    def fail(_value):
        raise RuntimeError("NCCL error: unhandled system error")

    monkeypatch.setattr(torch.distributed, "all_reduce", fail)
    with pytest.raises(RuntimeError, match="unhandled system error"):
        check_contact(torch.device("cpu"), seconds=5)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_with_an_error(tmp_path, capfd):
    with pytest.raises(KitError, match="ended with exit status 1: the lines above say why"):
        two_processes("die", tmp_path)
    assert "SIGKILL" in capfd.readouterr().out
    assert not Run(tmp_path / "dead").finished


@pytest.mark.slow
def test_the_training_command_shares_a_run_and_rank_0_alone_prints(tmp_path, capfd):
    settings = Settings(
        RECIPE.replace(epochs=2, batch_size=128, resize=""), "digits", data="digits", run=str(tmp_path / "run")
    )
    run_and_print(torchrun(2, as_arguments(settings, "train")))
    printed = capfd.readouterr().out
    assert "Warning" not in printed
    rows = [line.split()[0] for line in printed.splitlines() if line.strip().startswith(("1/", "2/"))]
    assert rows == ["1/2", "2/2"]
    run = Run(settings.run)
    assert run.finished and run.config["processes"] == 2
    assert run.history["train_accuracy"].iloc[-1] > 15


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_lets_the_processes_save_and_waits_for_them(name, capfd, heeded_interrupts):
    child = f"""if True:
        import os, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), print("saved"), sys.exit(143)))
        print("training", flush=True)
        os.kill(os.getppid(), signal.{name})
        time.sleep(60)
    """
    with pytest.raises(Stopped, match=f"stopped by {name}"):
        run_and_print([sys.executable, "-c", child])
    assert capfd.readouterr().out.split() == ["training", "saved"]


def test_more_gpus_than_there_are_is_one_sentence(monkeypatch, digits):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(KitError, match="gpus has to be at most 1 on this machine, not 2"):
        launch(Settings(run="shared", gpus=2), digits)


def test_more_processes_than_gpus_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {"WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(KitError, match="nproc_per_node has to be at most 1"), joined_world():
        pass


def test_one_process_is_a_world_of_its_own():
    world, model = World(), torch.nn.Linear(1, 1)
    assert world.leads and world.wrap(model, torch.device("cpu")) is model
    assert world.any(True) is True and world.any(False) is False
    assert world.share("value") == "value"
    assert world.total(torch.tensor(2.0)) == 2
