"""Files are whole or not there, whatever fails in between."""

import errno
import os

import pytest

from kit.errors import KitError
from kit.system import files


def test_a_failed_write_leaves_the_old_file_and_no_part(tmp_path):
    path = tmp_path / "a" / "metrics.json"
    files.write_json(path, {"n": 1})
    with pytest.raises(RuntimeError), files.replacing(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"n": 1}
    assert os.listdir(path.parent) == ["metrics.json"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("when", ["write", "rename"])
def test_a_full_disk_and_a_read_only_folder_are_one_sentence(tmp_path, monkeypatch, code, when):
    def fail(*_args):
        raise OSError(code, os.strerror(code))

    path = tmp_path / "history.csv"
    files.write_text(path, "old")
    monkeypatch.setattr(os, "fsync" if when == "write" else "replace", fail)
    with pytest.raises(KitError) as refusal:
        files.write_text(path, "new")
    assert os.strerror(code) in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["history.csv"]


def test_a_file_in_the_way_of_a_folder_is_one_sentence(tmp_path):
    (tmp_path / "runs").write_text("not a folder")
    with pytest.raises(KitError, match="cannot write"):
        files.write_text(tmp_path / "runs" / "config.json", "{}")


def test_reading_json_says_what_to_do(tmp_path):
    with pytest.raises(KitError, match="does not exist"):
        files.read_json(tmp_path / "config.json")
    (tmp_path / "config.json").write_text("{half")
    with pytest.raises(KitError, match="is not JSON"):
        files.read_json(tmp_path / "config.json")


def test_not_a_number_is_never_written_as_json(tmp_path):
    with pytest.raises(ValueError):
        files.write_json(tmp_path / "metrics.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())
