"""The ledger: what is written comes back, and no writer loses another's row."""

import csv
import multiprocessing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import within_limits

from kit.competition import ledger
from kit.errors import KitError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.csv"


def add(path, **values):
    return ledger.edit(lambda rows: ledger.add(rows, values), path)


def add_many(path, writer):
    for number in range(10):
        row = add(path, message=f"{writer}-{number}")
        ledger.update(row["time"], path, public=f"{writer}.{number}")


def test_two_processes_that_write_at_once_lose_no_row(path):
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=add_many, args=(path, writer)) for writer in range(4)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["message"], row["public"]) for row in rows} == {
        (f"{writer}-{number}", f"{writer}.{number}") for writer in range(4) for number in range(10)
    }
    assert len({row["time"] for row in rows}) == 40


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"))


@given(st.lists(st.fixed_dictionaries({"file": TEXTS, "message": TEXTS}), max_size=4))
@settings(deadline=5000)
def test_whatever_is_written_is_read_back(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("ledger") / "ledger.csv"
    for entry in entries:
        add(path, **entry)
    assert [{name: row[name] for name in ("file", "message")} for row in ledger.rows(path)] == entries


@within_limits
@given(st.data())
@settings(max_examples=100, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_ledger_is_rows_or_a_sentence_and_never_written_over(path, data):
    path.unlink(missing_ok=True)
    add(path, file="a.csv", message="m")
    whole = path.read_bytes()
    place, noise = data.draw(st.integers(0, len(whole))), data.draw(st.binary(max_size=40))
    path.write_bytes(data.draw(st.sampled_from([noise, whole[:place], whole[:place] + noise + whole[place:]])))
    before = path.read_bytes()
    try:
        assert all(row.keys() >= set(ledger.COLUMNS) for row in ledger.rows(path))
        add(path, file="b.csv")
    except KitError as error:
        assert len(str(error)) < 1000 and "\n" not in str(error)
        assert path.read_bytes() == before


def test_a_ledger_that_does_not_exist_or_is_empty_has_no_rows(path):
    assert ledger.rows(path) == []
    path.touch()
    assert ledger.rows(path) == []


def test_a_ledger_from_before_the_estimates_goes_on(path):
    add(path, message="old")
    with path.open(newline="") as file:
        old = [{k: v for k, v in row.items() if k != "estimates"} for row in csv.DictReader(file)]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(old[0]))
        writer.writeheader()
        writer.writerows(old)
    add(path, message="new", estimates="DoC 88")
    assert [(row["message"], row["estimates"]) for row in ledger.rows(path)] == [("old", ""), ("new", "DoC 88")]


def test_columns_added_by_hand_and_a_spreadsheets_mark_survive(path):
    header = ",".join([*ledger.COLUMNS, "note"])
    path.write_text(
        header + "\n2025-03-01T10:00:00.000+00:00" + "," * len(ledger.COLUMNS) + "mine\n",
        encoding="utf-8-sig",
    )
    add(path, file="a.csv")
    first, second = ledger.rows(path)
    assert (first["note"], first["time"]) == ("mine", "2025-03-01T10:00:00.000+00:00")
    assert (second["note"], second["file"]) == ("", "a.csv")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"a,b\n1,2\n", "lacks the columns time"),
        (b"\xff\xfe\x00", "not a CSV"),
        (b"PK\x03\x04\x00\x00", "lacks"),
    ],
)
def test_a_file_that_is_no_ledger_is_left_alone(path, content, sentence):
    path.write_bytes(content)
    with pytest.raises(KitError, match=sentence):
        add(path, file="a.csv")
    assert path.read_bytes() == content


def test_a_row_with_too_many_fields_is_not_cut_short(path):
    add(path, file="a.csv")
    path.write_text(path.read_text().rstrip("\n") + ",extra\n")
    with pytest.raises(KitError, match="more fields than columns"):
        ledger.rows(path)


def test_a_failure_inside_a_change_leaves_the_ledger_as_it_was(path):
    add(path, file="a.csv")
    before = path.read_bytes()

    def fail(rows):
        rows.clear()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        ledger.edit(fail, path)
    assert path.read_bytes() == before


def test_a_row_that_is_gone_is_said(path):
    with pytest.raises(KitError, match="no row of 2025"):
        ledger.update("2025-01-01T00:00:00.000+00:00", path, public="1")


def test_a_ledger_on_a_file_system_without_flock_is_kept(path, monkeypatch):
    def refuse(*_):
        raise OSError(37, "No locks available")  # NFS, Lustre, Google Drive

    monkeypatch.setattr("kit.system.locks.fcntl.flock", refuse)
    add(path, file="a.csv")
    add(path, file="b.csv")
    assert [row["file"] for row in ledger.rows(path)] == ["a.csv", "b.csv"]
    assert [each.name for each in path.parent.iterdir()] == ["ledger.csv"]
