"""The competition through the real Kaggle client, which talks to a stand-in for Kaggle on this machine."""

import base64
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import zipfile

import kaggle_server
import pytest
import torch
from image_sources import write_image_folder

from kit.__main__ import main
from kit.competition import client, ledger
from kit.competition import commands as competition
from kit.data import CLASSES, load, locations, official, write_competition_test
from kit.errors import KitError
from kit.recipe import RECIPES
from kit.submission import find_test_file

kaggle = kaggle_server.kaggle
KEY, SCORE, archive = kaggle_server.KEY, kaggle_server.SCORE, kaggle_server.archive
SLUG, OTHER = locations.COMPETITIONS
FILES = {
    "cifar_test_nolabel.pkl": os.urandom(4_500_000),
    "cifar-10-python/cifar-10-batches-py/data_batch_1": os.urandom(3_000),
}


def the_row(record):
    (row,) = ledger.rows(record)
    return row


# --- the files of the competition


def test_download_unpacks_what_the_archive_holds(kaggle, tmp_path, capsys):
    kaggle.files[SLUG] = archive(FILES)
    folder = competition.download(folder=tmp_path / "data")
    assert {name: (folder / name).read_bytes() for name in FILES} == FILES
    assert "2 files" in capsys.readouterr().out


def test_a_tilde_is_the_home_in_every_path_that_is_given(kaggle, tmp_path, paper, record, monkeypatch, digits):
    home = tmp_path / "home"  # of the stand-in's environment
    kaggle.files[SLUG] = archive(FILES)
    assert competition.download(folder="~/data") == home / "data"
    shutil.move(paper, home / "mine.csv")
    assert competition.submit("~/mine.csv", "m", record=record)["status"] == "complete"
    write_competition_test(home / "test.pkl", digits.test_images[:5], torch.arange(5))
    assert find_test_file("~/test.pkl", "digits") == home / "test.pkl"
    write_image_folder(home / "images", 1)
    assert load("resize:~/images").classes == load("~/images").classes == CLASSES


def test_a_download_that_breaks_off_goes_on_where_it_stopped(kaggle, tmp_path):
    kaggle.files[SLUG], kaggle.cut_downloads = archive(FILES), 2
    folder = competition.download(folder=tmp_path)
    assert (folder / "cifar_test_nolabel.pkl").read_bytes() == FILES["cifar_test_nolabel.pkl"]
    first, second = (int(each.removeprefix("bytes=").removesuffix("-")) for each in kaggle.ranges)
    assert 0 < first < second


def test_a_download_that_never_gets_through_is_resumed_by_the_next_one(kaggle, tmp_path):
    kaggle.files[SLUG], kaggle.cut_downloads = archive(FILES), 1000
    with pytest.raises(KitError, match=r"no connection to Kaggle .* run this again"):
        competition.download(folder=tmp_path)
    assert not (tmp_path / "cifar_test_nolabel.pkl").exists()
    kaggle.cut_downloads, kaggle.ranges[:] = 0, []
    competition.download(folder=tmp_path)
    assert len(kaggle.ranges) == 1  # and not from the start
    assert (tmp_path / "cifar_test_nolabel.pkl").read_bytes() == FILES["cifar_test_nolabel.pkl"]


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((403, "You must accept this competition's rules"), f"accept the rules at .*/{SLUG}/rules"),
        ((404, "Not Found"), f"check the name {SLUG}"),
        ((401, "Unauthenticated"), "create new credentials at https"),
    ],
)
def test_a_refused_download_says_what_to_do(kaggle, tmp_path, answer, sentence):
    kaggle.fail("DownloadDataFiles", answer)
    with pytest.raises(client.Refused, match=sentence):
        competition.download(folder=tmp_path)
    assert len(kaggle.called("DownloadDataFiles")) == 1  # asking again would not help


@pytest.mark.parametrize("failures", [[429, 500], [(429, "slow down", {"Retry-After": "17"}), 503], ["drop", 500]])
def test_passing_trouble_is_waited_out(kaggle, tmp_path, failures):
    kaggle.files[SLUG] = archive(FILES)
    kaggle.fail("DownloadDataFiles", *failures)
    competition.download(folder=tmp_path)
    assert len(kaggle.called("DownloadDataFiles")) == 3
    if isinstance(failures[0], tuple):
        assert 17.0 in kaggle.naps


@pytest.mark.parametrize(("status", "sentence"), [(500, r"500.*wait some minutes"), (429, r"429.*wait some minutes")])
def test_lasting_trouble_ends_in_a_sentence(kaggle, tmp_path, status, sentence):
    kaggle.fail("DownloadDataFiles", *[status] * 9)
    with pytest.raises(KitError, match=sentence):
        competition.download(folder=tmp_path)
    assert len(kaggle.called("DownloadDataFiles")) == client.ATTEMPTS


@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside", "..\\outside"])
def test_an_archive_that_reaches_outside_is_not_unpacked(kaggle, tmp_path, name):
    kaggle.files[SLUG] = archive({"inside": b"1", name: b"2"})
    with pytest.raises(KitError, match="reaches outside"):
        competition.download(folder=tmp_path / "data")
    assert sorted(path.name for path in tmp_path.rglob("*side*")) == []


def test_an_archive_with_a_link_is_not_unpacked(kaggle, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        content.writestr(link, "/etc/passwd")
    kaggle.files[SLUG] = buffer.getvalue()
    with pytest.raises(KitError, match="reaches outside"):
        competition.download(folder=tmp_path)


def test_a_damaged_archive_is_removed_so_that_the_next_download_is_whole(kaggle, tmp_path):
    whole = archive(FILES)
    kaggle.files[SLUG] = whole[:500] + bytes(200) + whole[700:]
    with pytest.raises(KitError, match="damaged"):
        competition.download(folder=tmp_path)
    assert not (tmp_path / "cifar_test_nolabel.pkl").exists()
    kaggle.files[SLUG] = whole
    competition.download(folder=tmp_path)
    assert (tmp_path / "cifar_test_nolabel.pkl").read_bytes() == FILES["cifar_test_nolabel.pkl"]


def test_the_competition_is_one_setting(kaggle, tmp_path, monkeypatch):
    kaggle.files[OTHER] = kaggle.files["a-third-one"] = archive(FILES)
    monkeypatch.setenv("KIT_COMPETITION", OTHER)
    competition.download(folder=tmp_path)
    competition.download("a-third-one", folder=tmp_path)
    asked = [body["competitionName"] for body in kaggle.called("DownloadDataFiles")]
    assert asked == [OTHER, "a-third-one"]


def test_what_was_downloaded_is_found_by_auto(kaggle, tmp_path, monkeypatch):
    batches = ["batches.meta", "test_batch", *(f"data_batch_{i}" for i in range(1, 6))]
    names = [f"cifar-10-python/{official.FOLDER}/{name}" for name in batches]
    kaggle.files[SLUG] = archive({"cifar_test_nolabel.pkl": b"1", **dict.fromkeys(names, b"2")})
    monkeypatch.delenv(locations.VARIABLE, raising=False)
    monkeypatch.setattr(locations, "workspace", lambda: tmp_path)
    competition.download()
    assert locations.find_dataset() == tmp_path / "data" / "cifar-10-python" / official.FOLDER
    assert locations.find_test_file() == tmp_path / "data" / "cifar_test_nolabel.pkl"


# --- a submission


def test_submit_uploads_the_file_and_records_the_score(kaggle, paper, record, capsys):
    kaggle.polls_until_scored = 3
    recipe = RECIPES["paper"].replace(seed=7).as_dict()
    expected = {"published line": 87.72, "average confidence": 91.0, "DoC": 88.25}
    note = {"run": "paper-7", "recipe": recipe, "accuracy": 96.95, "split": "paper", "expected": expected}
    digest = hashlib.sha256(paper.read_bytes()).hexdigest()
    paper.with_suffix(".json").write_text(json.dumps(note | {"sha256": digest}))
    row = competition.submit(paper, "first try", record=record)
    assert list(kaggle.uploads.values()) == [paper.read_bytes()]
    (sent,) = kaggle.called("CreateSubmission")
    assert (sent["competitionName"], sent["submissionDescription"]) == (SLUG, "first try")
    assert row == the_row(record)
    assert (row["status"], row["public"], row["private"], row["ref"]) == ("complete", SCORE, "", "1000")
    assert (row["file"], row["sha256"], row["message"]) == (paper.as_posix(), digest, "first try")
    assert (row["run"], row["accuracy"], row["split"]) == ("paper-7", "96.95", "paper")
    assert (row["recipe"], row["expected"]) == ("paper seed=7", "87.72")
    assert row["estimates"] == "average confidence 91; DoC 88.25"
    printed = capsys.readouterr().out
    assert f"submissions left today: {'4' if kaggle_server.IS_RECENT else 'this version'}" in printed
    assert printed.count("waiting for the score") == 3
    assert SCORE in printed


@pytest.mark.parametrize("beside", ['{"run": "other", "sha256": "00"}', "[3, 8, 8]"])
def test_a_note_about_other_bytes_is_not_believed(kaggle, paper, record, beside):
    paper.with_suffix(".json").write_text(beside)
    assert competition.submit(paper, "m", record=record)["run"] == ""


def test_a_score_that_does_not_come_is_left_for_later(kaggle, paper, record, capsys):
    kaggle.polls_until_scored = 10**9
    row = competition.submit(paper, "m", record=record)
    assert (row["status"], row["public"], row["ref"]) == ("pending", "", "1000")
    assert "kit scores" in capsys.readouterr().out
    assert sum(kaggle.naps) > 300
    kaggle.polls_until_scored = 1
    competition.scores(record=record)  # the answer of the look that scores it comes with the next
    table = competition.scores(record=record)
    assert table["public"].tolist() == [100 * float(SCORE)]
    assert the_row(record)["status"] == "complete"


def test_not_waiting_leaves_the_score_for_later(kaggle, paper, record):
    row = competition.submit(paper, "m", wait=False, record=record)
    assert (row["status"], row["ref"]) == ("pending", "1000")


def test_a_file_that_kaggle_cannot_score_is_an_error_with_its_reason(kaggle, paper, record):
    kaggle.scoring_error = "ID 17 is missing"
    with pytest.raises(KitError, match=r"could not score .*ID 17 is missing"):
        competition.submit(paper, "m", record=record)
    assert the_row(record)["status"] == "error"


@pytest.mark.parametrize("endpoint", ["StartSubmissionUpload", "CreateSubmission"])
@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ((403, "You must accept this competition's rules"), f"403: You must accept .*/{SLUG}/rules"),
        (
            (400, "Submission file must have 10000 rows"),
            "400: Submission file must have 10000 rows; correct that",
        ),
        ((400, "Your team has used its daily Submission allowance (5) today"), "starts anew at 00:00 UTC"),
    ],
)
def test_a_refused_submission_is_sent_once_and_recorded_as_refused(kaggle, paper, record, endpoint, answer, sentence):
    kaggle.fail(endpoint, answer)
    with pytest.raises(client.Refused, match=sentence):
        competition.submit(paper, "m", record=record)
    assert len(kaggle.called(endpoint)) == 1
    assert kaggle.submissions == []
    assert (the_row(record)["status"], the_row(record)["ref"]) == ("refused", "")
    competition.submit(paper, "m", record=record)  # once the cause is gone
    assert (len(kaggle.submissions), the_row(record)["status"]) == (1, "complete")


@kaggle_server.RECENT
def test_nothing_is_uploaded_when_no_submission_is_left(kaggle, paper, record):
    kaggle.limits = {"numToday": 5, "numTotal": 9, "numAllowedNow": 0, "limitedByTotal": False}
    with pytest.raises(client.Refused, match=r"no submission is left today.*00:00 UTC.*5 made today"):
        competition.submit(paper, "m", record=record)
    assert kaggle.uploads == {}
    assert the_row(record)["status"] == "refused"


def test_the_first_submission_of_all_is_let_through(kaggle, paper, record):
    kaggle.limits = {"numToday": 0, "numTotal": 0, "numAllowedNow": 0, "limitedByTotal": False}  # no team yet
    assert competition.submit(paper, "m", record=record)["status"] == "complete"


def test_a_client_that_knows_no_limits_submits_all_the_same(kaggle, paper, record, monkeypatch, capsys):
    from kaggle.api.kaggle_api_extended import KaggleApi

    monkeypatch.delattr(KaggleApi, "competition_get_submission_limits", raising=False)
    assert competition.submit(paper, "m", record=record)["status"] == "complete"
    assert "cannot tell" in capsys.readouterr().out


@pytest.mark.parametrize("failure", ["lose", -500, -502])
def test_a_lost_answer_is_looked_up_instead_of_sent_again(kaggle, paper, record, failure):
    kaggle.fail("CreateSubmission", failure)
    row = competition.submit(paper, "m", record=record)
    assert len(kaggle.called("CreateSubmission")) == 1
    assert len(kaggle.submissions) == 1
    assert (row["status"], row["ref"]) == ("complete", str(kaggle.submissions[0]["ref"]))


def submission(paper, message, ref=1000):
    return {"ref": ref, "fileName": paper.name, "description": message, "date": "2025-03-01T10:00:00.000Z",
            "status": "PENDING", "competition": SLUG, "polls": 0}  # fmt: skip


def test_an_older_submission_of_the_same_name_is_not_taken_for_the_lost_one(kaggle, paper, record):
    kaggle.submissions.append(submission(paper, "m", ref=7))  # made elsewhere, unknown to the ledger
    kaggle.fail("CreateSubmission", "lose")
    assert competition.submit(paper, "m", record=record)["ref"] == "1001"


def test_an_answer_that_stays_unknown_is_said_and_settled_by_the_next_call(kaggle, paper, record):
    kaggle.fail("CreateSubmission", "drop")
    with pytest.raises(KitError, match="run the same command again"):
        competition.submit(paper, "m", record=record)
    assert the_row(record)["status"] == "unconfirmed"
    assert len(kaggle.called("CreateSubmission")) == 1  # a blind retry might have been the second
    assert competition.submit(paper, "m", record=record)["status"] == "complete"
    assert len(kaggle.submissions) == 1
    assert len(ledger.rows(record)) == 1


def test_a_submission_that_arrived_unseen_is_found_by_the_next_call(kaggle, paper, record, capsys):
    kaggle.fail("CreateSubmission", "lose")
    kaggle.fail("ListSubmissions", None, *[500] * 12)  # the look before is answered, those after are not
    with pytest.raises(KitError, match="run the same command again"):
        competition.submit(paper, "m", record=record)
    assert the_row(record)["status"] == "unconfirmed"
    assert competition.submit(paper, "m", record=record)["status"] == "complete"
    assert len(kaggle.called("CreateSubmission")) == len(kaggle.submissions) == 1
    assert "did arrive" in capsys.readouterr().out


def test_scores_settles_an_unconfirmed_submission_too(kaggle, paper, record):
    kaggle.fail("CreateSubmission", "lose")
    kaggle.fail("ListSubmissions", None, *[500] * 12)
    with pytest.raises(KitError):
        competition.submit(paper, "m", record=record)
    competition.scores(record=record)
    assert (the_row(record)["ref"], the_row(record)["status"]) == ("1000", "pending")


def test_too_many_requests_is_waited_out_and_sent_once(kaggle, paper, record):
    kaggle.fail("CreateSubmission", (429, "slow down", {"Retry-After": "21"}))
    assert competition.submit(paper, "m", record=record)["status"] == "complete"
    assert len(kaggle.submissions) == 1
    assert 21.0 in kaggle.naps


@pytest.mark.parametrize("failure", ["drop", 500])
def test_trouble_before_the_submission_is_tried_again(kaggle, paper, record, failure):
    kaggle.fail("StartSubmissionUpload", failure)
    assert competition.submit(paper, "m", record=record)["status"] == "complete"
    assert len(kaggle.submissions) == 1


def test_an_upload_that_breaks_off_halfway_arrives_whole(kaggle, paper, record):
    kaggle.fail("PUT", "drop")
    assert competition.submit(paper, "m", record=record)["status"] == "complete"
    assert list(kaggle.uploads.values()) == [paper.read_bytes()]
    assert len(kaggle.submissions) == 1


def test_an_upload_that_the_storage_refuses_is_not_taken_for_a_submission(kaggle, paper, record):
    kaggle.fail("PUT", 400)
    with pytest.raises(KitError, match=r"uploading paper\.csv failed"):
        competition.submit(paper, "m", record=record)
    assert kaggle.called("CreateSubmission") == []
    assert the_row(record)["status"] == "not sent"


def test_no_connection_at_all_is_one_sentence(kaggle, paper, record, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(KitError, match="no connection to Kaggle"):
        competition.submit(paper, "m", record=record)
    assert the_row(record)["status"] == "not sent"


def test_the_same_file_and_message_are_submitted_once(kaggle, paper, record, capsys):
    first = competition.submit(paper, "m", record=record)
    again = competition.submit(paper, "m", record=record)
    assert again == first
    assert "already submitted" in capsys.readouterr().out
    competition.submit(paper, "another message", record=record)
    assert len(kaggle.submissions) == len(ledger.rows(record)) == 2


def test_a_file_that_is_no_submission_never_reaches_kaggle(kaggle, paper, record):
    paper.write_text("ID,Labels\n0,11\n")
    with pytest.raises(KitError, match="0 to 9"):
        competition.submit(paper, "m", record=record)
    with pytest.raises(KitError, match="message"):
        competition.submit(paper, "  ", record=record)
    assert kaggle.calls == []
    assert not record.exists()


def submit_elsewhere(paper, record):
    try:
        competition.submit(paper, "m", wait=False, record=record)
    except KitError as error:
        sys.exit(0 if "another process" in str(error) else str(error))


def test_two_processes_that_submit_the_same_file_make_one_submission(kaggle, paper, record):
    fork = multiprocessing.get_context("fork")  # quicker than importing everything twice
    both = [fork.Process(target=submit_elsewhere, args=(paper, record)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(kaggle.submissions) == len(ledger.rows(record)) == 1
    assert the_row(record)["status"] == "pending"


def test_the_command_line_ends_in_one_sentence_or_a_recorded_score(kaggle, paper, record, monkeypatch, capsys):
    monkeypatch.setattr(ledger, "default", lambda: record)
    kaggle.fail("CreateSubmission", (403, "You must accept this competition's rules"))
    assert main(["submit", str(paper), "-m", "m"]) == 2
    assert capsys.readouterr().err.startswith("error: submitting paper.csv: 403: You must accept")
    assert main(["submit", str(paper), "-m", "m"]) == 0
    assert main(["scores"]) == 0
    assert f"{100 * float(SCORE):.2f}" in capsys.readouterr().out


# --- the scores


def test_scores_brings_in_what_was_submitted_elsewhere(kaggle, paper, record):
    competition.submit(paper, "from the kit", record=record)
    for number in range(130):  # more than a page
        kaggle.submissions.insert(0, submission(paper, f"by hand {number}", ref=2000 + number))
    competition.scores(record=record)
    kaggle.submissions[-1]["privateScore"] = "0.86"  # the competition has ended
    table = competition.scores(record=record)
    assert len(table) == len(ledger.rows(record)) == 131
    assert table["ref"].is_unique
    assert table["public"].tolist() == [100 * float(SCORE)] * 131
    assert table.set_index("message").loc["from the kit", "private"] == 86.0
    assert (record.parent / "expected_against_real.png").stat().st_size > 5000


def test_scores_of_one_competition_leave_the_rows_of_another_alone(kaggle, paper, record):
    competition.submit(paper, "m", OTHER, record=record)
    before = ledger.rows(record)
    assert len(competition.scores(record=record)) == 0
    assert ledger.rows(record) == before


# --- the client by hand, and secrets


def test_the_clients_own_command_takes_the_same_file(kaggle, paper):
    command = [*kaggle_server.COMMAND, "competitions", "submit", SLUG, "-f", str(paper), "-m", "by hand"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Successfully submitted" in done.stdout
    assert list(kaggle.uploads.values()) == [paper.read_bytes()]


def test_the_key_is_never_shown(kaggle, paper, record, monkeypatch, capfd, caplog):
    monkeypatch.setenv("VERBOSE", "1")  # the client then prints every request with its headers
    caplog.set_level("DEBUG")
    competition.submit(paper, "m", record=record)
    kaggle.accepts = lambda authorization: False
    with pytest.raises(KitError) as refused:
        competition.submit(paper, "m2", record=record)
    shown = "".join(capfd.readouterr()) + caplog.text + repr(refused.value) + record.read_text()
    assert KEY not in shown
    authorization = base64.b64encode(f"ada:{KEY}".encode()).decode()
    assert authorization not in shown
