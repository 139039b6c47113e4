"""Files are whole or not there, whatever fails in between."""

import errno
import os
from pathlib import Path

import pytest

from kit.errors import KitError
from kit.system import files, paths


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


def readers():
    """Everything that takes a path from a user, by name; all imports are here, since some of them load torch."""
    from kit.data.loading import classes_of, load
    from kit.data.testfile import find_competition_test, load_competition_test
    from kit.run import Run
    from kit.run.folder import load_runs
    from kit.submission.csvfile import check_submission
    from kit.submission.testimages import find_test_file

    return {
        "load": load,
        "classes_of": classes_of,
        "load_competition_test": load_competition_test,
        "find_competition_test": find_competition_test,
        "find_test_file": lambda path: find_test_file(path, "digits"),
        "check_submission": check_submission,
        "Run.load": Run.load,
        "load_runs": load_runs,
    }


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "a/b\0c", "a/" + "x" * 5000, "resize:~nobody-of-this-name"])
def test_what_cannot_be_a_path_is_one_sentence_for_every_reader(path):
    for name, reader in readers().items():
        if path.startswith("resize:") and name not in ("load", "classes_of", "find_competition_test"):
            continue
        with pytest.raises(KitError) as refusal:
            reader(path)
        assert len(str(refusal.value)) < 600 and "\0" not in str(refusal.value), name


def test_a_given_path_need_not_exist_and_a_link_in_a_circle_is_one_sentence(tmp_path):
    assert paths.given(tmp_path / "none" / "x") == tmp_path / "none" / "x"
    assert paths.given("~") == Path.home()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(KitError, match=r"loop cannot be used as a path \(Too many levels .*\): give another one"):
        paths.given(tmp_path / "loop")
