"""What Kaggle, or whatever answers in its place, may send: one sentence each, in bounded time and memory."""

import csv
import io
import os
import re
import subprocess
import threading
import time
import tracemalloc
import types
import zipfile
import zlib
from datetime import UTC, datetime, timedelta

import kaggle_server
import limits
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernel import finished, make_run, workspace  # noqa: F401

from kit.competition import client, filestreaming, kernel, kernel_output, ledger, waiting
from kit.competition import commands as competition
from kit.competition.names import competition_slug, kernel_name
from kit.data.loading import write_competition_test
from kit.data.locations import COMPETITIONS
from kit.errors import KitError
from kit.system import archive, package

kaggle = kaggle_server.kaggle
Page, SLUG, USER = kaggle_server.Page, COMPETITIONS[0], kaggle_server.USER
CLOCK = time.monotonic


@pytest.fixture
def impatient(monkeypatch):
    """Time limits of parts of a second."""
    monkeypatch.setattr(waiting, "PATIENCE", 0.3)
    monkeypatch.setattr(waiting, "SAY_EVERY", 0.1)
    monkeypatch.setattr(waiting, "_LOOK_EVERY", 0.02)


# --- answers that are not Kaggle's

ODD = [
    (kaggle_server.CAPTIVE, "a web page came in place of Kaggle's answer.*sign in to the network"),
    (Page(b"<html>", kind="application/json"), "a web page came in place"),
    (Page(b"null", kind="application/json"), "empty or of a kind that the client cannot read"),
    (Page(b"", kind="application/json"), "empty or of a kind"),
    (Page(b'{"submissions": 3, "ref": []}', kind="application/json"), "empty or of a kind"),
    (Page(b"[1, 2]", kind="application/json"), "empty or of a kind"),
    (Page(b'  \n"text"', kind="application/json; charset=utf-8"), "empty or of a kind"),
    (Page(b"\xff\xfe\x00", kind="application/octet-stream"), "empty or of a kind"),
]


@pytest.mark.parametrize(("page", "sentence"), ODD)
def test_an_answer_that_is_not_kaggles_is_one_sentence(kaggle, paper, record, page, sentence):
    kaggle.fail("ListSubmissions", *[page] * 9)
    with pytest.raises(KitError, match=f"^[a-z .]*: .*{sentence}") as told:
        competition.submit(paper, "m", record=record)
    assert "\n" not in str(told.value) and len(str(told.value)) < 400
    assert kaggle.submissions == [] and kaggle.uploads == {}


def inflating(megabytes: int) -> Page:
    """A small answer that unpacks to a JSON object of so many MB, which takes twenty times that once it is read."""
    packer = zlib.compressobj(1, wbits=31)
    pieces = [packer.compress(b'{"submissions": ['), *(packer.compress(b"{}," * 333_333) for _ in range(megabytes))]
    content = b"".join([*pieces, packer.flush()])
    return Page(content, kind="application/json", headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize("status", [200, 400])
def test_an_answer_that_is_too_large_is_one_sentence(kaggle, paper, record, status):
    page = inflating(200)
    page.status = status
    kaggle.fail("ListSubmissions", *[page] * client.ATTEMPTS)
    said = limits.sentence(lambda: competition.submit(paper, "m", record=record))
    assert "the answer has more than 16 MB" in said
    assert kaggle.submissions == [] and kaggle.uploads == {}


def test_a_refusal_of_a_file_that_is_too_large_is_one_sentence(kaggle, workspace):  # noqa: F811
    finished(kaggle, **{"submissions__paper.csv": b"ID,Labels\n"})
    page = inflating(200)
    page.status = 404
    kaggle.fail("GET", page)
    assert "404" in limits.sentence(lambda: kernel.pull("kit-paper"))


@pytest.mark.parametrize("answer", [kaggle_server.CAPTIVE, Page(b"[]", kind="application/json")])
def test_an_odd_answer_to_the_submission_itself_is_looked_up(kaggle, paper, record, answer):
    kaggle.fail("CreateSubmission", answer)
    with pytest.raises(KitError, match="run the same command again"):
        competition.submit(paper, "m", record=record)
    assert competition.submit(paper, "m", record=record)["status"] == "complete"
    assert len(kaggle.submissions) == 1


@pytest.mark.parametrize("page", [kaggle_server.CAPTIVE, Page(b"null", kind="application/json")])
def test_a_pull_behind_a_sign_in_page_does_not_say_that_there_is_no_kernel(kaggle, workspace, page):  # noqa: F811
    kaggle.fail("GetKernelSessionStatus", page)
    with pytest.raises(KitError, match="asking how ada/kit-paper is doing: ") as told:
        kernel.pull("kit-paper")
    assert "shows no kernel" not in str(told.value)


def test_a_web_page_in_place_of_an_output_file_is_not_kept(kaggle, workspace):  # noqa: F811
    finished(kaggle, **{"submissions__paper.csv": b"ID,Labels\n"})
    kaggle.fail("GET", kaggle_server.CAPTIVE)
    with pytest.raises(KitError, match=r"a web page came in place of paper\.csv"):
        kernel.pull("kit-paper")
    assert list(workspace.rglob("*.csv")) == []


def test_answers_that_lead_in_a_circle_end(kaggle, tmp_path, monkeypatch):
    kaggle.files[SLUG] = b""
    monkeypatch.setattr(kaggle_server._Handler, "do_GET", lambda self: self._send(302, b"", {"Location": self.path}))
    with pytest.raises(KitError, match=r"lead in a circle \(redirects\)"):
        competition.download(folder=tmp_path)


def test_a_long_refusal_is_cut_and_kept_on_one_line(kaggle, tmp_path):
    kaggle.fail("DownloadDataFiles", (400, "no\n\x1b[31m" + "x" * 1_000_000))
    with pytest.raises(KitError) as told:
        competition.download(folder=tmp_path)
    assert len(str(told.value)) < 500 and str(told.value).isprintable()


# --- time


@pytest.mark.parametrize("way", ["silent", "drip"])
@pytest.mark.parametrize(
    "endpoint", ["ListSubmissions", pytest.param("GetSubmissionLimits", marks=kaggle_server.RECENT)]
)
def test_an_answer_that_never_ends_is_given_up_and_the_waiting_is_told(
    kaggle, paper, record, impatient, capsys, way, endpoint
):
    kaggle.fail(endpoint, *[way] * client.ATTEMPTS)
    began = CLOCK()
    with pytest.raises(KitError, match="Kaggle did not answer in time"):
        competition.submit(paper, "m", record=record)
    assert CLOCK() - began < 10
    assert "waiting for Kaggle: " in capsys.readouterr().err
    assert kaggle.submissions == []
    assert competition.submit(paper, "m", record=record)["status"] == "complete"  # it is there again


@pytest.mark.parametrize("way", ["silent", "drip"])
def test_an_output_file_that_never_ends_is_given_up(kaggle, workspace, impatient, way):  # noqa: F811
    finished(kaggle, **{"submissions__paper.csv": b"ID,Labels\n"})
    kaggle.fail("GET", *[way] * client.ATTEMPTS)
    began = CLOCK()
    with pytest.raises(KitError, match="Kaggle did not answer in time"):
        kernel.pull("kit-paper")
    assert CLOCK() - began < 10
    assert list(workspace.rglob("*.csv")) == []


def test_a_file_that_comes_slowly_but_comes_is_waited_for(kaggle, workspace, monkeypatch):  # noqa: F811
    """It takes three times as long as the patience with a file of which nothing comes."""
    monkeypatch.setattr(waiting, "PATIENCE", 1.0)
    send, content = kaggle_server._Handler._send, os.urandom(30 * 65_536)

    def slowly(self, status, body, headers=None):
        if "/output/" not in self.path:
            return send(self, status, body, headers)
        send(self, status, b"", {"Content-Length": str(len(body))})
        for start in range(0, len(body), 65_536):
            threading.Event().wait(0.1)
            self.wfile.write(body[start : start + 65_536])

    monkeypatch.setattr(kaggle_server._Handler, "_send", slowly)
    finished(kaggle, **{"submissions__paper.csv": content})
    kernel.pull("kit-paper")
    assert (workspace / "submissions" / "paper.csv").read_bytes() == content


def test_a_call_that_was_given_up_does_nothing_more():
    done, going = [], [True]

    def work():
        while going[0]:
            time.monotonic()
        done.append(True)

    with pytest.raises(client.requests.Timeout):
        waiting.patiently(work, patience=0.1)
    threading.Event().wait(0.3)
    going[0] = False
    threading.Event().wait(0.3)
    assert done == []


def set_row(record, **values):
    ledger.edit(lambda rows: rows[0].update(values), record)


def test_a_clock_that_was_wrong_does_not_block_a_submission(kaggle, paper, record):
    kaggle.fail("CreateSubmission", "drop")
    with pytest.raises(KitError):
        competition.submit(paper, "m", record=record)
    for wrong in ("2030-01-01T00:00:00.000+00:00", "yesterday", ""):
        set_row(record, status="sending", time=wrong, ref="")
        assert competition.submit(paper, "m", record=record)["ref"]


def test_a_submission_that_another_process_sends_is_left_to_it(kaggle, paper, record):
    kaggle.fail("CreateSubmission", "drop")
    with pytest.raises(KitError):
        competition.submit(paper, "m", record=record)
    soon = (datetime.now(UTC) + timedelta(seconds=90)).isoformat(timespec="milliseconds")  # of a clock that is ahead
    set_row(record, status="sending", time=soon)
    with pytest.raises(KitError, match=r"another process.*run this again in 10 minutes"):
        competition.submit(paper, "m", record=record)


# --- memory and disk


class Endless:
    """An answer without a length and without an end."""

    headers, status_code = {}, 200

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def raise_for_status(self):
        pass

    def iter_content(self, size):
        while True:
            yield bytes(size)


def test_a_file_without_end_is_cut_off_by_its_limit_and_never_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(filestreaming.requests, "get", lambda *_, **__: Endless())
    tracemalloc.start()
    with pytest.raises(KitError, match=r"model\.safetensors has more than 100 MB"):
        filestreaming.stream("https://x/y", tmp_path / "model.safetensors", 100_000_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert list(tmp_path.iterdir()) == []


def test_a_pulled_file_that_claims_too_much_is_not_fetched(kaggle, workspace, monkeypatch):  # noqa: F811
    monkeypatch.setattr(kernel_output, "LARGEST_OUTPUT", 1000)
    finished(kaggle, **{"submissions__a.csv": b"1" * 900, "submissions__b.csv": b"1" * 900})
    with pytest.raises(KitError, match=r"b\.csv has more than"):
        kernel.pull("kit-paper")
    assert list(workspace.rglob("*.csv")) == []


def test_a_competition_archive_without_end_is_cut_off(kaggle, tmp_path, monkeypatch, impatient):
    monkeypatch.setattr(competition, "LARGEST_FILE", 2_000_000)
    kaggle.files[SLUG] = os.urandom(30_000_000)
    with pytest.raises(KitError, match=r"has more than 2 MB|arrived damaged"):
        competition.download(folder=tmp_path)


def bomb(names_and_sizes):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as content:
        for name, size in names_and_sizes:
            content.writestr(name, bytes(size))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [({"LARGEST_CONTENT": 1_000_000}, "claims .* GB unpacked"), ({"MOST_MEMBERS": 1}, "holds 2 files, more than")],
)
def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch, limits, sentence):
    for name, value in limits.items():
        monkeypatch.setattr(archive, name, value)
    path = tmp_path / "x.zip"
    path.write_bytes(bomb([("a", 900_000), ("b", 900_000)]))
    (tmp_path / "data").mkdir()
    assert path.stat().st_size < 5000
    with pytest.raises(KitError, match=sentence):
        archive.unpack(path, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("flip", range(0, 400, 7))
def test_a_flipped_archive_is_one_sentence(tmp_path, flip):
    content = bytearray(bomb([("a/b.bin", 3000), ("c", 10)]))
    for place in range(flip, min(flip + 7, len(content))):
        content[place] ^= 0xFF
    path = tmp_path / "x.zip"
    path.write_bytes(bytes(content))
    try:
        archive.unpack(path, tmp_path)
    except KitError as error:
        assert "\n" not in str(error)


def test_an_archive_with_a_password_is_one_sentence(tmp_path):
    content = bytearray(bomb([("a", 10)]))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "x.zip"
    path.write_bytes(bytes(content))
    with pytest.raises(KitError, match="arrived damaged"):
        archive.unpack(path, tmp_path)


# --- nothing here is overwritten


def test_a_ledger_in_the_output_is_never_taken(kaggle, workspace):  # noqa: F811
    mine = workspace / "submissions" / "ledger.csv"
    mine.parent.mkdir()
    mine.write_text("mine")
    finished(
        kaggle, **{"submissions__ledger.csv": b"theirs", "submissions__Ledger.csv": b"1", "submissions__a.csv": b"2"}
    )
    kernel.pull("kit-paper")
    assert mine.read_text() == "mine"
    assert sorted(path.name for path in mine.parent.iterdir()) == ["a.csv", "ledger.csv"]


def test_a_csv_that_differs_is_kept_beside_and_a_same_one_is_not_doubled(kaggle, workspace, capsys):  # noqa: F811
    mine = workspace / "submissions" / "paper.csv"
    mine.parent.mkdir()
    mine.write_text("mine")
    mine.with_suffix(".json").write_text("about mine")
    finished(kaggle, **{"submissions__paper.csv": b"theirs", "submissions__paper.json": b"about theirs"})
    for _ in range(2):  # the second time it is there already
        kernel.pull("kit-paper")
    assert "kept beside it as paper.from-kit-paper.csv" in capsys.readouterr().out
    contents = {path.name: path.read_text() for path in mine.parent.iterdir()}
    assert contents == {
        "paper.csv": "mine", "paper.json": "about mine",
        "paper.from-kit-paper.csv": "theirs", "paper.from-kit-paper.json": "about theirs",
    }  # fmt: skip
    finished(kaggle, **{"submissions__paper.csv": b"a third"})
    kernel.pull("kit-paper")
    assert (mine.parent / "paper.from-kit-paper-2.csv").read_text() == "a third"


def test_a_run_without_its_config_is_refused_whole(kaggle, workspace, capsys):  # noqa: F811
    mine = make_run(workspace / "runs" / "mine")
    for name in ("metrics.json", "model.safetensors"):
        (mine / name).write_text("mine")
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    finished(
        kaggle, **{"runs__mine__history.csv": b"epoch,lr\n0,1\n1,1\n2,1\n", "runs__mine__model.safetensors": b"evil"}
    )
    kernel.pull("kit-paper")
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert [path.name for path in (workspace / "runs").iterdir()] == ["mine"]
    assert "has no config.json" in capsys.readouterr().out


def test_a_finished_run_of_the_same_recipe_that_went_otherwise_is_kept(kaggle, workspace):  # noqa: F811
    mine = make_run(workspace / "runs" / "paper")
    (mine / "metrics.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in mine.iterdir()}
    finished(
        kaggle, **{"runs__paper__config.json": b"{}", "runs__paper__history.csv": b"epoch,lr\n0,0.2\n1,0.2\n2,0.2\n"}
    )
    kernel.pull("kit-paper")
    kernel.pull("kit-paper")
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
    assert sorted(path.name for path in (workspace / "runs").iterdir()) == ["paper", "paper.from-kit-paper"]


# --- what is sent


def small_kit(folder):
    """A folder with a package kit/ in it, of two modules and a table."""
    for name in (
        "__init__.py",
        "data/__init__.py",
        "data/locations.py",
        "analysis/__init__.py",
        "analysis/leaderboard.csv",
    ):
        (folder / "kit" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "kit" / name).write_text("")
    return folder / "kit"


STRAY = ("secret.py", ".hidden.py", "answers.csv", "data/.ipynb_checkpoints/x.py", "data/notes.txt")
OWN = ["__init__.py", "analysis/__init__.py", "analysis/leaderboard.csv", "data/__init__.py", "data/locations.py"]


def add_strays(kit):
    for name in STRAY:
        (kit / name).parent.mkdir(exist_ok=True)
        (kit / name).write_text("SECRET = 1")


def test_push_carries_what_git_tracks_and_nothing_that_merely_lies_there(tmp_path, monkeypatch, capsys):
    kit = small_kit(tmp_path)
    for words in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    add_strays(kit)
    monkeypatch.setattr(package, "_PACKAGE", kit)
    assert [path.relative_to(kit).as_posix() for path in package.package_files()] == OWN
    assert capsys.readouterr().out == "left out, since git does not track them: kit/secret.py\n"


def test_an_installed_kit_carries_what_its_installer_recorded(tmp_path, monkeypatch):
    kit = small_kit(tmp_path)
    recorded = [types.SimpleNamespace(locate=lambda name=name: kit / name) for name in OWN]
    add_strays(kit)
    monkeypatch.setattr(package, "_PACKAGE", kit)
    monkeypatch.setattr(package.metadata, "files", lambda name: recorded)
    assert [path.relative_to(kit).as_posix() for path in package.package_files()] == OWN


def test_a_copied_kit_carries_its_modules_and_no_hidden_files(tmp_path, monkeypatch):
    kit = small_kit(tmp_path)
    add_strays(kit)
    monkeypatch.setattr(package, "_PACKAGE", kit)
    names = [path.relative_to(kit).as_posix() for path in package.package_files()]
    assert names == sorted([*OWN, "secret.py", "answers.csv"])


def test_push_from_an_installed_kit_says_where_the_notebooks_are_missing(workspace, monkeypatch, tmp_path):  # noqa: F811
    monkeypatch.setattr("kit.competition.portable._PACKAGE", tmp_path / "site-packages" / "kit")
    with pytest.raises(KitError, match=r"train\.ipynb is missing: an installed kit has no notebooks.*clone"):
        kernel.push(dry_run=True)


def test_a_csv_with_other_ids_than_the_test_file_is_not_sent(kaggle, paper, record, monkeypatch, tmp_path, digits):
    monkeypatch.setattr(competition, "local_data", lambda: tmp_path / "data")
    write_competition_test(tmp_path / "data" / "cifar_test_nolabel.pkl", digits.test_images[:50],
                           torch.arange(50))  # fmt: skip
    rows = paper.read_text().splitlines()
    for wrong, sentence in (
        (rows[:11], "needs 50 rows"),
        ([rows[0], *(f"{i + 1},0" for i in range(50))], "id 0 is missing"),
    ):
        paper.write_text("\n".join(wrong))
        with pytest.raises(KitError, match=f"does not fit .*cifar_test_nolabel.pkl: .*{sentence}.*nothing was sent"):
            competition.submit(paper, "m", record=record)
    assert kaggle.calls == [] and not record.exists()
    paper.write_text("\n".join([rows[0], *reversed(rows[1:])]))  # Kaggle goes by the ids, in whatever order
    assert competition.submit(paper, "m", record=record)["status"] == "complete"


def test_formulas_stay_text_in_the_ledger_and_come_back_as_they_were(kaggle, paper, record):
    messages = ['=HYPERLINK("http://x","y")', "@SUM(1)", "+1", "-1", "'=1", "＝1"]
    for message in messages:
        competition.submit(paper, message, record=record)
    with record.open(newline="") as file:
        cells = [row["message"] for row in csv.DictReader(file)]
    assert all(cell[0] == "'" for cell in cells)
    assert [row["message"] for row in ledger.rows(record)] == messages
    competition.submit(paper, messages[0], record=record)  # known, so it is sent once
    assert len(kaggle.submissions) == len(messages)


@pytest.mark.parametrize("message", ["a\nb", "a\x00b", "\x1b[31mred", "m" * 501])
def test_a_message_is_one_printable_line(kaggle, paper, record, message):
    with pytest.raises(KitError, match="one line of at most 500 characters"):
        competition.submit(paper, message, record=record)
    assert kaggle.calls == []


# --- refusals by Kaggle's own words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Phone verification is required", "verify the phone number"),
        ("You must verify your phone number before submitting", "verify the phone number"),
        ("You must verify your identity to take part", "verify the identity"),
        ("Submissions to this competition must be made from Notebooks only", "only from a notebook on Kaggle"),
        ("This is a Code Competition: submit a notebook", "only from a notebook on Kaggle"),
        ("The competition deadline has passed", "takes no submissions now"),
        ("This competition has ended", "takes no submissions now"),
        ("You must accept this competition's rules", "accept the rules at"),
        ("", "accept the rules at"),
        ("Teams of minors cannot enter", "may do this"),
    ],
)
def test_a_403_names_the_cure_that_its_words_ask_for(kaggle, paper, record, words, sentence):
    kaggle.fail("StartSubmissionUpload", (403, words))
    with pytest.raises(client.Refused, match=sentence) as told:
        competition.submit(paper, "m", record=record)
    assert ("accept the rules at" in str(told.value)) == ("accept the rules at" in sentence)


@pytest.mark.parametrize(
    "address",
    ["https://www.kaggle.com/competitions/a-slug/data?select=x", "https://www.kaggle.com/c/a-slug", "a-slug",
     "kaggle.com/competitions/a-slug", "HTTPS://www.kaggle.com/competitions/a-slug/", " a-slug "],
)  # fmt: skip
def test_the_address_of_a_competition_is_read_as_its_slug(address, monkeypatch):
    assert competition_slug(address) == "a-slug"
    monkeypatch.setenv("KIT_COMPETITION", address)
    assert competition_slug() == "a-slug"


@pytest.mark.parametrize("name", ["https://example.com/competitions/x", "a b", "../x", "x" * 300, "a\x00",
                                  "https://www.kaggle.com/datasets/x"])  # fmt: skip
def test_what_is_no_competition_is_refused(name):
    with pytest.raises(KitError, match="is no competition") as told:
        competition_slug(name)
    assert len(str(told.value)) < 300


def test_the_address_of_a_kernel_is_read_as_its_name():
    assert kernel_name("https://www.kaggle.com/code/ada/kit-paper?scriptVersionId=3") == "ada/kit-paper"
    assert kernel_name("kit-paper") == "kit-paper"
    for wrong in ("a/b/c", "", "a b", "https://example.com/code/a/b"):
        with pytest.raises(KitError, match="is no kernel"):
            kernel_name(wrong)


def test_files_are_fetched_only_from_addresses_of_the_web(tmp_path):
    for url in ("", "file:///etc/passwd", "ftp://x/y"):
        with pytest.raises(KitError, match="no address"):
            filestreaming.stream(url, tmp_path / "x.csv")
    assert list(tmp_path.iterdir()) == []


@limits.within_limits
@given(st.text(max_size=300) | st.from_regex(r"(https?://)?(www\.)?kaggle\.com/(c|competitions|code)/.{0,40}"))
@settings(max_examples=200, deadline=5000)
def test_any_text_is_a_name_at_kaggle_or_a_sentence(text):
    for read, pattern in ((competition_slug, r"[a-z0-9][\w-]*"), (kernel_name, r"([\w-]+/)?[\w-]+")):
        try:
            assert re.fullmatch(pattern, read(text), re.ASCII)
        except KitError as error:
            assert len(str(error)) < 500 and "\n" not in str(error)
