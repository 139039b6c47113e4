"""The pack: what it holds, and that its own kit makes the same CSV from it in an empty folder."""

import json
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import torch

from kit.__main__ import main
from kit.analysis.answers import Answers
from kit.data.loading import write_competition_test
from kit.errors import KitError
from kit.pack import making, verifying
from kit.predict import predict
from kit.run import Run
from kit.submission.csvfile import write_submission
from kit.submission.provenance import describe
from kit.system import archive


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory, digits, digits_run):
    """A workspace with a run, its CSV and the test file, and the pack that was made of them."""
    home = tmp_path_factory.mktemp("workspace")
    shutil.copytree(digits_run.folder, home / "runs" / "digits")
    run, ids = Run(home / "runs" / "digits"), torch.arange(len(digits.test_images)) + 5
    (run.folder / "train.ipynb").write_text("{}")
    for name in (".training.lock", ".train.ipynb", "checkpoint.before.pt"):
        (run.folder / name).write_text("of this machine")
    test_file = home / "data" / "cifar_test_nolabel.pkl"
    write_competition_test(test_file, digits.test_images, ids)
    labels = predict(run.model(), digits.test_images, tta="flip").argmax(1)
    source = Answers(torch.eye(10), torch.arange(10), tuple("abcdefghij"))
    about = describe([run], "last", "flip", source)
    write_submission(home / "submissions" / "digits.csv", ids, labels, header=("Id", "Label"), about=about)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("kit.submission.provenance", "kit.pack.making"):
            patch.setattr(f"{module}.workspace", lambda: home)
        made = making.pack(str(run.folder), test_file=str(test_file))
        again = making.pack(str(run.folder), home / "again.zip", str(test_file))
    assert made.read_bytes() == again.read_bytes()
    return made, test_file


@pytest.mark.slow
def test_the_pack_holds_what_graders_ask_for(handed_in):
    with zipfile.ZipFile(handed_in[0]) as content:
        names = set(content.namelist())
        manifest = json.loads(content.read("manifest.json"))
        pinned = content.read("requirements.txt").decode()
    assert {"kit/__main__.py", "kit/analysis/leaderboard.csv", "runs/digits/config.json", "runs/digits/train.ipynb",
            "runs/digits/model.safetensors", "submissions/digits.csv", "submissions/digits.json", "train.py",
            "predict.py", "requirements.txt", "README.md"} <= names  # fmt: skip
    assert not any("runs/digits/checkpoint" in name or "/." in name or "__pycache__" in name for name in names)
    assert f"torch=={torch.__version__.split('+')[0]}\n" in pinned
    assert {"torchvision", "scikit-learn"} <= {line.partition("==")[0] for line in pinned.splitlines()}
    assert set(manifest["files"]) == names - {"manifest.json"}
    assert all(re.fullmatch("[0-9a-f]{64}", each) for each in (manifest["csv_sha256"], manifest["test_file_sha256"]))


@pytest.mark.slow
def test_its_own_kit_makes_the_same_csv_in_an_empty_folder(handed_in, tmp_path):
    """As a grader does it: unpack, and verify with the kit that was in the pack."""
    made, test_file = handed_in
    archive.unpack(made, tmp_path)
    command = [sys.executable, "-m", "kit", "verify", ".", "--test_file", str(test_file)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert "digits.csv: the same, byte for byte" in done.stdout


@pytest.mark.slow
def test_its_train_entry_point_trains_the_run_again(handed_in, tmp_path):
    archive.unpack(handed_in[0], tmp_path)
    command = [sys.executable, "train.py", "--data", "digits"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    packed, trained = Run(tmp_path / "runs" / "digits"), Run(tmp_path / "trained" / "digits")
    assert trained.recipe == packed.recipe
    assert trained.history["train_loss"].tolist() == pytest.approx(packed.history["train_loss"].tolist(), rel=1e-3)
    assert "final accuracy" in done.stdout
    done = subprocess.run([*command[:2], "--data", "noisy"], cwd=tmp_path, capture_output=True, text=True, timeout=280)
    assert done.returncode == 1 and done.stderr.startswith("error: noisy does not exist; ")


@pytest.mark.parametrize("name", ["runs/digits/model.safetensors", "kit/predict.py", "submissions/digits.csv"])
def test_a_file_that_was_changed_is_named_before_anything_runs(handed_in, tmp_path, monkeypatch, name):
    made, test_file = handed_in
    archive.unpack(made, tmp_path)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes() + b" ")
    monkeypatch.setattr(verifying, "_predict", lambda *_: pytest.fail("code of the pack ran"))
    with pytest.raises(KitError, match=f"{name} is missing or is not the file that was packed"):
        verifying.verify(tmp_path, str(test_file))


def test_progress_of_a_long_prediction_is_shown_and_the_last_error_is_the_reason(tmp_path, monkeypatch, capsys):
    script = "import sys; print('... predicting: 1 of 2 batches'); print('a path'); sys.exit('first\\nno weights')"
    monkeypatch.setattr(verifying, "_PREDICT", script)
    with pytest.raises(KitError, match="the kit in the pack cannot predict: no weights"):
        verifying._predict(tmp_path, tmp_path / "test.pkl", tmp_path / "again.csv")
    assert capsys.readouterr().out == "... predicting: 1 of 2 batches\n"


def test_labels_that_differ_are_told_with_how_close_the_two_classes_were(tmp_path):
    ids = torch.arange(4)
    original = write_submission(tmp_path / "a.csv", ids, torch.tensor([0, 1, 2, 3]))
    again = write_submission(tmp_path / "b.csv", ids, torch.tensor([0, 1, 5, 4]))
    chances = torch.full((4, 10), 0.01)
    chances[2, 5], chances[2, 2] = 0.50, 0.40
    chances[3, 4], chances[3, 3] = 0.47, 0.45
    told = verifying.differences(original, again, chances.log())
    assert told[0] == "2 of 4 labels differ"
    assert re.fullmatch(r"id 2: 5 now, 2 in the pack, 10\.\d\d points of probability apart", told[1])
    assert told[2].startswith("id 3: 4 now, 3 in the pack, 2.")
    same = write_submission(tmp_path / "c.csv", ids, torch.tensor([0, 1, 2, 3]))
    same.write_bytes(same.read_bytes().replace(b"\n", b"\r\n"))
    assert "only the bytes differ" in verifying.differences(same, original, chances.log())[0]


@pytest.mark.slow
def test_another_test_file_and_no_pack_are_one_sentence_each(handed_in, tmp_path, digits, capsys):
    made, _ = handed_in
    other = tmp_path / "other.pkl"
    write_competition_test(other, digits.test_images[:50], torch.arange(50))
    assert main(["verify", str(made), "--test_file", str(other)]) == 2
    assert "is another test file than the one that the CSV was made of" in capsys.readouterr().err
    (tmp_path / "x.zip").write_bytes(b"no zip")
    assert main(["verify", str(tmp_path / "x.zip"), "--test_file", str(other)]) == 2
    assert "arrived damaged" in capsys.readouterr().err and (tmp_path / "x.zip").is_file()


def test_a_run_without_a_csv_or_with_other_weights_is_not_packed(handed_in, tmp_path, monkeypatch):
    home = tmp_path / "workspace"
    shutil.copytree(handed_in[1].parents[1], home)
    for module in ("kit.submission.provenance", "kit.pack.making"):
        monkeypatch.setattr(f"{module}.workspace", lambda: home)
    weights = home / "runs" / "digits" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(KitError, match="the weights of digits changed since"):
        making.pack(str(home / "runs" / "digits"))
    (home / "submissions" / "digits.csv").unlink()
    with pytest.raises(KitError, match="run the submit notebook"):
        making.pack(str(home / "runs" / "digits"))
