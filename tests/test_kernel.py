"""Kernels: what is pushed, how the real client takes it, and what comes back."""

import json
import subprocess

import kaggle_server
import nbformat
import pytest

from kit.competition import client, kernel, portable, session
from kit.data.locations import COMPETITIONS
from kit.errors import KitError

kaggle = kaggle_server.kaggle
USER = kaggle_server.USER


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """An own folder for runs/, submissions/ and build/."""
    folder = tmp_path / "workspace"
    folder.mkdir()
    for module in ("kit.run.folder", "kit.competition.kernel", "kit.competition.pulling", "kit.competition.portable"):
        monkeypatch.setattr(f"{module}.workspace", lambda: folder)
    return folder


def make_run(folder, epochs=2):
    """A run folder as far as kernels look at it."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "checkpoint.pt").write_bytes(b"checkpoint after %d" % epochs)
    (folder / "history.csv").write_text("epoch,lr\n" + "".join(f"{i},0.1\n" for i in range(epochs)))
    return folder


def finished(server, name="kit-paper", status=("QUEUED", "RUNNING", "COMPLETE"), **outputs):
    """A kernel at Kaggle with these output files; __ in a name stands for a slash."""
    output = {key.replace("__", "/"): value for key, value in outputs.items()}
    server.kernels[f"{USER}/{name}"] = {"status": list(status), "output": output, "log": "epoch 1\n", "version": 1}
    return server.kernels[f"{USER}/{name}"]


# --- push


def test_push_sends_one_private_notebook_without_internet_for_two_t4s(kaggle, workspace, capsys):
    pushed = kernel.push(parameters={"recipe": "quick", "epochs": 3})
    (request,) = kaggle.called("SaveKernel")
    assert request["slug"] == pushed.kernel == f"{USER}/kit-quick"
    assert request["newTitle"] == "kit quick"
    assert (request["language"], request["kernelType"]) == ("python", "notebook")
    assert (request["isPrivate"], request["enableGpu"], request["enableInternet"]) == (True, True, False)
    assert request["machineShape"] == "NvidiaTeslaT4"
    assert request["competitionDataSources"] == [COMPETITIONS[0]]
    assert not request.get("kernelDataSources") and not request.get("datasetDataSources")
    assert (pushed.version, pushed.folder) == (1, workspace / "build" / "kernels" / "kit-quick")
    assert pushed.url in capsys.readouterr().out


def test_every_notebook_gets_its_own_parameters_after_its_defaults(kaggle, workspace):
    kernel.push(parameters={"recipe": "quick", "epochs": 3, "tta": "none", "data": "digits"})
    notebook = nbformat.reads(kaggle.called("SaveKernel")[0]["text"], as_version=4)
    nbformat.validate(notebook)
    tags = [tuple(cell.metadata.get("tags", ())) for cell in notebook.cells]
    places = [i for i, tag in enumerate(tags) if tag == ("injected-parameters",)]
    assert len(places) == 2
    assert all(tags[i - 1] == ("parameters",) for i in places)
    train, submit = ({}, {})
    for place, values in zip(places, (train, submit), strict=True):
        exec(notebook.cells[place].source, values)
    del train["__builtins__"], submit["__builtins__"]
    assert train == {"recipe": "quick", "epochs": 3, "data": "digits", "run": "quick"}
    assert submit == {"tta": "none", "data": "digits", "run": "quick"}


def test_a_dry_run_leaves_a_folder_that_the_clients_own_command_takes(kaggle, workspace):
    pushed = kernel.push(["explore"], {"data": "digits"}, name="A look", slug="another-one", dry_run=True)
    assert kaggle.calls == []
    assert sorted(path.name for path in pushed.folder.iterdir()) == ["a-look.ipynb", "kernel-metadata.json"]
    command = [*kaggle_server.COMMAND, "kernels", "push", "-p", str(pushed.folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "successfully pushed" in done.stdout, done.stdout + done.stderr
    (request,) = kaggle.called("SaveKernel")
    assert request["competitionDataSources"] == ["another-one"]
    assert request["slug"] == f"{USER}/a-look"


def test_a_dry_run_needs_no_credentials(workspace, monkeypatch):
    monkeypatch.delenv("KAGGLE_USERNAME", raising=False)
    pushed = kernel.push(dry_run=True)
    metadata = json.loads((pushed.folder / "kernel-metadata.json").read_text())
    assert metadata["id"] == "your-user-name/kit-paper"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ({"parameters": {"epoch": 3}}, "epoch is not a parameter here; .*epochs"),
        ({"parameters": {"epochs": 0}}, "epochs"),
        ({"parameters": {"amp": "false"}}, "amp"),
        ({"parameters": {"tta": "flipp"}}, "tta has to be"),
        ({"parameters": {"upload": True}}, "no internet"),
        ({"notebooks": ["trian"]}, "no notebook of the kit; choose among explore, train"),
        ({"name": "kit"}, "5 to 50"),
        ({"resume_kernel": "a", "resume_run": "b"}, "not both"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_sent(kaggle, workspace, call, sentence):
    with pytest.raises(KitError, match=sentence):
        kernel.push(**call)
    assert kaggle.called("SaveKernel") == []


def test_a_notebook_larger_than_kaggle_takes_is_refused_here(workspace, monkeypatch):
    monkeypatch.setattr(portable, "LARGEST", 10_000)
    with pytest.raises(KitError, match="push fewer notebooks"):
        kernel.push(dry_run=True)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ((403, "Phone verification is required"), "403: Phone verification is required"),
        ((400, "Notebook not valid"), "400: Notebook not valid"),
        (500, r"500.*may run all the same, so look at https://www.kaggle.com/code/ada/kit-paper"),
        ("lose", "may run all the same"),
        (429, "429"),
    ],
)
def test_a_push_that_fails_is_not_repeated(kaggle, workspace, failure, sentence):
    kaggle.fail("SaveKernel", failure)
    with pytest.raises(KitError, match=sentence):
        kernel.push()
    assert len(kaggle.called("SaveKernel")) == 1  # a second version would use up GPU hours


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"error": "Maximum batch GPU session count of 2 reached"}, "Maximum batch GPU session"),
        ({"versionNumber": 1, "invalidCompetitionSources": [COMPETITIONS[0]]}, "may not use .*accept the competition"),
        ({"versionNumber": 1, "invalidKernelSources": ["ada/gone"]}, "may not use ada/gone"),
    ],
)
def test_an_answer_that_only_sounds_like_success_is_an_error(kaggle, workspace, monkeypatch, answer, sentence):
    monkeypatch.setattr(kaggle_server._Handler, "on_SaveKernel", lambda self, body: answer)
    with pytest.raises(client.Refused, match=sentence):
        kernel.push()


# --- going on from an earlier run


def test_an_earlier_kernel_is_attached_and_looked_for(kaggle, workspace):
    kernel.push(["train"], {"run": "long"}, name="long-2", resume_kernel="long-1")
    (request,) = kaggle.called("SaveKernel")
    assert request["kernelDataSources"] == [f"{USER}/long-1"]
    cells = json.loads(request["text"])["cells"]
    assert any(cell["source"].endswith("attach('long', 'ada/long-1')") for cell in cells)


OF_ONE_MACHINE = (".training.lock", ".job.lock", "checkpoint.before.pt", ".model.safetensors.7.part")


def leave_what_is_of_one_machine(run):
    for name in OF_ONE_MACHINE:
        (run / name).write_text("of this machine")


def test_a_local_run_travels_as_a_private_dataset(kaggle, workspace):
    leave_what_is_of_one_machine(make_run(workspace / "runs" / "long"))
    kernel.push(["train"], resume_run="long")
    (request,) = kaggle.called("SaveKernel")
    assert request["datasetDataSources"] == ["ada/kit-run-long"]
    assert kaggle.called("CreateDataset")[0]["isPrivate"] is True
    assert kaggle.datasets["ada/kit-run-long"]["checkpoint.pt"] == b"checkpoint after 2"
    assert sorted(kaggle.datasets["ada/kit-run-long"]) == ["checkpoint.pt", "config.json", "history.csv"]
    (workspace / "runs" / "long" / "checkpoint.pt").write_bytes(b"a later one")
    kernel.push(["train"], resume_run="long")  # now as a new version of the dataset
    assert kaggle.datasets["ada/kit-run-long"]["checkpoint.pt"] == b"a later one"
    assert len(kaggle.called("CreateDatasetVersion")) == 1


def test_a_local_run_without_a_checkpoint_is_refused(kaggle, workspace):
    (make_run(workspace / "runs" / "long") / "checkpoint.pt").unlink()
    with pytest.raises(KitError, match="no checkpoint"):
        kernel.push(resume_run="long")
    with pytest.raises(KitError, match="no run in"):
        kernel.push(resume_run="gone")


@pytest.mark.parametrize(
    "mount", ["long-1/runs/long", "notebooks/ada/long-1/runs/long", "datasets/ada/kit-run-long", "kit-run-long"]
)
def test_a_mounted_run_is_found_wherever_kaggle_puts_it(workspace, tmp_path, mount):
    other = make_run(tmp_path / "input" / "other-kernel" / "runs" / "long", epochs=9)
    folder = make_run(tmp_path / "input" / mount)
    leave_what_is_of_one_machine(folder)
    for path in (*folder.iterdir(), folder):
        path.chmod(0o555)
    source = "ada/kit-run-long" if "kit-run" in mount else "ada/long-1"
    taken = session.attach("long", source, tmp_path / "input")
    assert taken == workspace / "runs" / "long"
    assert (taken / "checkpoint.pt").read_bytes() == b"checkpoint after 2"
    assert sorted(path.name for path in taken.iterdir()) == ["checkpoint.pt", "config.json", "history.csv"]
    (taken / "checkpoint.pt").write_bytes(b"later")  # it can be written, although its source could not
    assert session.attach("long", source, tmp_path / "input") == taken  # a session that is started again
    assert (taken / "checkpoint.pt").read_bytes() == b"later"
    assert (other / "checkpoint.pt").read_bytes() == b"checkpoint after 9"
    folder.chmod(0o755)


def test_a_source_without_the_run_stops_the_kernel_at_once(workspace, tmp_path):
    make_run(tmp_path / "input" / "long-1" / "runs" / "another")
    with pytest.raises(KitError, match="no checkpoint of run long of ada/long-1"):
        session.attach("long", "ada/long-1", tmp_path / "input")


# --- pull


def test_pull_follows_the_kernel_and_brings_its_files_home(kaggle, workspace, capsys):
    finished(
        kaggle,
        **{
            "runs__paper__history.csv": b"epoch\n0\n1\n",
            "runs__paper__config.json": b"{}",
            "runs__paper__model.safetensors": b"w" * 3_000_000,
            "runs__paper__notebook.ipynb": b"{}",
            "submissions__paper.csv": b"ID,Labels\n",
            "kit__model.py": b"the inlined kit",
            "__notebook__.ipynb": b"{}",
        },
    )
    kaggle.kernels[f"{USER}/kit-paper"]["output"]["__notebook__.ipynb"] = b"{}"
    brought = kernel.pull("kit-paper")
    assert (workspace / "runs/paper/model.safetensors").read_bytes() == b"w" * 3_000_000
    assert (workspace / "submissions/paper.csv").read_bytes() == b"ID,Labels\n"
    assert (workspace / "build/kernels/kit-paper/kit-paper.log").read_text() == "epoch 1\n"
    assert (workspace / "build/kernels/kit-paper/__notebook__.ipynb").is_file()
    assert not any("kit/model.py" in str(path) for path in workspace.rglob("*"))
    assert all(path.is_file() for path in brought)
    printed = capsys.readouterr().out
    assert [word in printed for word in ("queued", "running", "complete")] == [True] * 3


def test_pull_without_a_name_takes_what_was_pushed_last(kaggle, workspace):
    with pytest.raises(KitError, match="no kernel was pushed from here"):
        kernel.pull()
    kernel.push(["train"])
    kaggle.kernels[f"{USER}/kit-paper"] |= {"status": ["COMPLETE"], "output": {"submissions/a.csv": b"1"}}
    assert kernel.pull()[-1] == workspace / "submissions" / "a.csv"


def test_a_failed_kernel_says_why_and_its_files_come_all_the_same(kaggle, workspace):
    there = {"runs__paper__history.csv": b"epoch\n0\n", "runs__paper__config.json": b"{}"}
    finished(kaggle, status=["ERROR"], **there)["failure"] = "out of memory"
    with pytest.raises(KitError, match=r"ended with error: out of memory; its log is in .*kit-paper"):
        kernel.pull("kit-paper")
    assert (workspace / "runs/paper/history.csv").is_file()
    assert (workspace / "build/kernels/kit-paper/kit-paper.log").is_file()


def test_trouble_on_the_way_back_is_waited_out_and_never_kept_as_a_file(kaggle, workspace):
    finished(kaggle, **{"submissions__paper.csv": b"ID,Labels\n"})
    kaggle.fail("GetKernelSessionStatus", "drop", 500)
    kaggle.fail("ListKernelSessionOutput", 429)
    kaggle.fail("GET", 503, 502)
    kernel.pull("kit-paper")
    assert (workspace / "submissions/paper.csv").read_bytes() == b"ID,Labels\n"
    kaggle.fail("GET", *[500] * 9)
    with pytest.raises(KitError, match="500"):
        kernel.pull("kit-paper")
    assert (workspace / "submissions/paper.csv").read_bytes() == b"ID,Labels\n"


def test_a_kernel_that_is_not_there_is_one_sentence(kaggle, workspace):
    with pytest.raises(client.Refused, match="shows no kernel ada/gone-one"):
        kernel.pull("gone-one")


def test_a_longer_run_of_this_machine_is_not_overwritten(kaggle, workspace):
    make_run(workspace / "runs" / "paper", epochs=5)
    finished(kaggle, **{"runs__paper__history.csv": b"epoch\n0\n", "runs__paper__config.json": b"{}"})
    kernel.pull("kit-paper")
    assert (workspace / "runs/paper.from-kit-paper/history.csv").read_text() == "epoch\n0\n"
    assert (workspace / "runs/paper/checkpoint.pt").read_bytes() == b"checkpoint after 5"
    assert len((workspace / "runs/paper/history.csv").read_text().splitlines()) == 6


def test_a_run_of_another_recipe_is_not_mixed_with_the_pulled_one(kaggle, workspace):
    make_run(workspace / "runs" / "paper", epochs=1)
    there = {"runs__paper__history.csv": b"epoch\n0\n1\n", "runs__paper__config.json": b'{"recipe": {"lr": 0.5}}'}
    finished(kaggle, **there)
    kernel.pull("kit-paper")
    assert (workspace / "runs/paper.from-kit-paper/config.json").read_text() == '{"recipe": {"lr": 0.5}}'
    assert (workspace / "runs/paper/config.json").read_text() == "{}"


def test_figures_of_a_finished_run_do_not_outlive_it(kaggle, workspace):
    here = make_run(workspace / "runs" / "paper", epochs=1)
    (here / "metrics.json").write_text("{}")
    (here / "explore.ipynb").write_text("mine")
    leave_what_is_of_one_machine(here)
    there = {"runs__paper__history.csv": b"epoch,lr\n0,0.1\n1,0.1\n", "runs__paper__config.json": b"{}"}
    there |= {f"runs__paper__{name}": b"of Kaggle's machine" for name in OF_ONE_MACHINE}
    finished(kaggle, **there)
    kernel.pull("kit-paper")
    assert len((here / "history.csv").read_text().splitlines()) == 3
    assert (here / "explore.ipynb").read_text() == "mine"
    assert sorted(path.name for path in (workspace / "runs").iterdir()) == ["paper"]
    assert sorted(path.name for path in here.iterdir()) == ["config.json", "explore.ipynb", "history.csv"]


def test_output_names_cannot_reach_outside(kaggle, workspace, tmp_path):
    kaggle.kernels[f"{USER}/kit-paper"] = {
        "status": ["COMPLETE"],
        "output": {
            "runs/../../../evil.csv": b"1",
            "/evil.csv": b"2",
            "submissions/good.csv": b"3",
            "": b"4",
            ".": b"5",
            "a\x00.csv": b"6",
            "submissions/.csv": b"7",
            "C:evil.csv": b"8",
            "submissions/" + "a" * 300 + ".csv": b"9",
            "submissions\\evil.csv": b"10",
            "runs//paper/x.csv": b"11",
            "a\nb.csv": b"12",
            "runs": b"13",
        },
    }
    kernel.pull("kit-paper")
    assert [path.name for path in tmp_path.rglob("*.csv")] == ["good.csv"]


def test_a_broken_transfer_is_not_kept(kaggle, workspace, tmp_path, monkeypatch):
    """A file that ends early is an error although the connection was closed in good order."""
    send = kaggle_server._Handler._send

    def short(self, status, content, headers=None):
        cut = "/output/" in self.path
        send(self, status, content, {"Content-Length": str(len(content) + 10)} if cut else headers)
        self.close_connection = cut

    monkeypatch.setattr(kaggle_server._Handler, "_send", short)
    finished(kaggle, **{"submissions__paper.csv": b"ID,Labels\n"})
    with pytest.raises(KitError, match="no connection"):
        kernel.pull("kit-paper")
    assert list(workspace.rglob("*.csv")) == []
