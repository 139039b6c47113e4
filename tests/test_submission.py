"""Submissions: what is written, what is refused, what is warned of."""

import csv
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import within_limits

from kit.analysis.answers import Answers
from kit.data.loading import write_competition_test
from kit.errors import KitError
from kit.rules import parse_header
from kit.run import Run
from kit.submission.csvfile import check_submission, write_submission
from kit.submission.provenance import describe, submission_path
from kit.submission.sanity import warn_of_unlike_images, warn_of_unlikely_labels
from kit.submission.testimages import images_to_label

IDS = torch.tensor([7, 3, 900, 0])
LABELS = torch.tensor([1, 0, 9, 9])


def write(path, text):
    path.write_text(text)
    return path


def test_rows_are_in_the_file_s_order_under_the_course_s_header(tmp_path):
    path = write_submission(tmp_path / "s" / "x.csv", IDS, LABELS, about={"run": "paper", "accuracy": 95.5})
    assert path.read_bytes() == b"ID,Labels\n7,1\n3,0\n900,9\n0,9\n"
    beside = json.loads(path.with_suffix(".json").read_text())
    assert beside["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert beside["run"] == "paper" and beside["rows"] == 4
    assert check_submission(path, ids=IDS).iloc[:, 0].astype(int).tolist() == IDS.tolist()


def test_the_header_is_configurable(tmp_path):
    path = write_submission(tmp_path / "x.csv", IDS, LABELS, header=parse_header("ID, Label"))
    assert path.read_text().startswith("ID,Label\n")
    with pytest.raises(KitError, match="header has to be ID,Labels, not ID,Label"):
        check_submission(path)
    for bad in ("ID", "ID,ID", "a,b,c", ","):
        with pytest.raises(KitError, match="two different words"):
            parse_header(bad)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ID,Labels\n7,1\n3,0\n900,9\n", "4 rows, one per image, not 3"),
        ("ID,Labels\n7,1\n3,0\n900,9\n0,9\n5,5\n", "4 rows, one per image, not 5"),
        ("ID,Labels\n7,1\n3,0\n3,9\n0,9\n", "id 3 is there twice"),
        ("ID,Labels\n7,1\n3,0\n901,9\n0,9\n", "id 900 is missing"),
        ("ID,Labels\n3,0\n7,1\n900,9\n0,9\n", "order of the test file"),
        ("ID,Labels\n7,1\n3,10\n900,9\n0,9\n", "0 to 9, not 10"),
        ("ID,Labels\n7,1\n3,-1\n900,9\n0,9\n", "0 to 9, not -1"),
        ("ID,Labels\n7,1\n3,cat\n900,9\n0,9\n", "whole numbers, not 'cat'"),
        ("ID,Labels\n7,1\n--3,1\n900,9\n0,9\n", "whole numbers, not '--3'"),
        ("ID,Labels\n7,1\n99999999999999999999,1\n900,9\n0,9\n", "whole numbers, not '99999999999999999999'"),
        ("ID,Labels\n7,1\n3,\n900,9\n0,9\n", "whole numbers, not ''"),
        ("ID,Labels\n7,1\n3,1.5\n900,9\n0,9\n", "whole numbers, not '1.5'"),
        ("ID,Labels\n7,1\n3,1\n9_00,9\n0,9\n", "whole numbers, not '9_00'"),  # Python alone reads it as 900
        ("ID,Labels\n7,1\n3,١\n900,9\n0,9\n", "whole numbers, not '١'"),  # an Arabic 1
        ("ID,Category\n7,1\n", "header has to be ID,Labels"),
        ("", "not a CSV"),
        ("ID,Labels\n", "4 rows"),
        ("ID,Labels\n7,1,5\n3,0,5\n", "more fields than its header"),
        ("ID,Labels\n7,1\n3,0,5\n900,9\n0,9\n", "not a CSV file"),
    ],
)
def test_what_kaggle_could_not_score_is_refused_in_one_sentence(tmp_path, text, words):
    with pytest.raises(KitError) as refusal:
        check_submission(write(tmp_path / "x.csv", text), ids=IDS)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value).strip()


def test_a_pipe_and_a_packed_csv_are_one_sentence_each(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(KitError, match=r"pipe\.csv is no file"):
        check_submission(tmp_path / "pipe.csv")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"ID,Labels\n0,1\n"))
    with pytest.raises(KitError, match=r"x\.csv\.gz is not a CSV file"):
        check_submission(tmp_path / "x.csv.gz")  # Kaggle is sent the bytes, and a small file may unpack to gigabytes


VALID = "ID,Labels\n" + "".join(f"{i},{i % 10}\n" for i in range(20))
DAMAGES = (
    st.binary(max_size=300)
    | st.text(st.sampled_from('ID,Labels\n\r"0123456789 -+_.\0\u0661'), max_size=200).map(str.encode)
    | st.integers(0, len(VALID)).map(lambda place: VALID[:place].encode())
    | st.tuples(st.integers(0, len(VALID)), st.binary(max_size=10)).map(
        lambda part: VALID[: part[0]].encode() + part[1] + VALID[part[0] + len(part[1]) :].encode()
    )
)


@within_limits
@given(DAMAGES)
@settings(max_examples=300, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_csv_is_one_that_kaggle_can_score_or_a_sentence(tmp_path, content):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    try:
        table = check_submission(path)
    except KitError as error:
        assert len(str(error)) < 1000 and "\n" not in str(error)
    else:
        rows = list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
        assert [row for row in rows[1:] if row] == table.values.tolist()
        assert len({int(row[0]) for row in rows[1:] if row}) == len(table)
        assert {row[1].strip() for row in rows[1:] if row} <= set("0123456789") | {f"0{k}" for k in range(10)}


def test_a_refused_submission_is_not_written(tmp_path):
    with pytest.raises(KitError, match="0 to 9, not 11"):
        write_submission(tmp_path / "x.csv", IDS, LABELS + 2)
    with pytest.raises(KitError, match="one label per id"):
        write_submission(tmp_path / "x.csv", IDS, LABELS[:3])
    with pytest.raises(KitError, match="twice"):
        write_submission(tmp_path / "x.csv", torch.tensor([1, 1, 2, 3]), LABELS)
    assert not list(tmp_path.iterdir())


def test_a_sample_submission_has_to_agree(tmp_path):
    sample = write(tmp_path / "sample.csv", "ID,Labels\n7,0\n3,0\n900,0\n0,0\n")
    path = write_submission(tmp_path / "x.csv", IDS, LABELS, sample=sample)
    check_submission(path, sample=sample)
    other = write(tmp_path / "other.csv", "ID,Labels\n7,0\n3,0\n901,0\n0,0\n")
    with pytest.raises(KitError, match=r"other\.csv lists other ids"):
        write_submission(tmp_path / "y.csv", IDS, LABELS, sample=other)
    renamed = write(tmp_path / "renamed.csv", "Id,Labels\n7,0\n")
    with pytest.raises(KitError, match="header Id,Labels"):
        write_submission(tmp_path / "y.csv", IDS, LABELS, sample=renamed)


def test_spreadsheet_files_are_read(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes("\ufeffID,Labels\r\n7,1\r\n3,0\r\n900,9\r\n0,9\r\n".encode())
    check_submission(path, ids=IDS)


def test_a_class_that_is_rare_or_frequent_is_warned_of():
    classes = [f"class {k}" for k in range(10)]
    balanced = torch.arange(10).repeat(100)
    counts = warn_of_unlikely_labels(balanced, classes)
    assert counts.tolist() == [100] * 10
    skewed = balanced.clone()
    skewed[:500][balanced[:500] == 3] = 4  # 5 % and 15 %
    with pytest.warns(UserWarning) as told:
        warn_of_unlikely_labels(skewed, classes)
    assert sorted(str(w.message).split(" is ")[0] for w in told) == ["class 3", "class 4"]


def smooth_images(n):
    """Coloured images with neighbouring pixels alike, as photos have them."""
    small = torch.rand(n, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    small *= torch.tensor([1.0, 0.9, 0.7])[:, None, None]
    return (255 * torch.nn.functional.interpolate(small, size=32, mode="bicubic")).clamp(0, 255).byte()


@pytest.mark.parametrize("wrong", ["swapped layout", "halved", "low contrast"])
def test_images_read_or_scaled_wrongly_are_warned_of(wrong):
    training, test = smooth_images(300), smooth_images(400)[300:]
    changed = {
        "swapped layout": test.permute(0, 2, 3, 1).reshape(-1, 3, 32, 32),
        "halved": test // 2,
        "low contrast": (test.float() * 0.6 + 50).byte(),
    }
    with pytest.warns(UserWarning, match="unlike the training images"):
        warn_of_unlike_images(changed[wrong], training)


def test_like_images_are_not_warned_of(recwarn):
    table = warn_of_unlike_images(smooth_images(400)[300:], smooth_images(300))
    assert not recwarn.list
    pixels = smooth_images(300).double().numpy() / 255
    np.testing.assert_allclose(table.loc["training"].iloc[:3], pixels.mean((0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(table.loc["training"].iloc[3:6], pixels.std((0, 2, 3)), atol=1e-5)


def test_without_a_competition_file_the_data_s_test_images_are_labelled(tmp_path, digits):
    stand_in = images_to_label("auto", "digits", digits)
    assert not stand_in.from_competition
    assert torch.equal(stand_in.images, digits.test_images)
    assert "no competition file was found" in stand_in.source
    file = tmp_path / "test.pkl"
    write_competition_test(file, digits.test_images, torch.arange(359) + 5)
    test = images_to_label(str(file), "digits", digits)
    assert test.from_competition and test.ids[0] == 5


def test_a_submission_says_what_made_it(digits_run):
    source = Answers(torch.eye(10)[[0, 1, 2]], torch.tensor([0, 1, 3]), tuple("abcdefghij"))
    about = describe([digits_run], "last", "flip", source)
    assert about["run"] == "digits" and about["accuracy"] == 66.6667
    content = digits_run.weights_path().read_bytes()
    assert about["weights_sha256"] == [hashlib.sha256(content).hexdigest()]
    assert describe([digits_run] * 2, "last", "flip", source)["run"] == "digits+digits"


@pytest.mark.parametrize(
    "header",
    ["=cmd(),Labels", "@SUM(A1),Labels", "+1,Labels", "ID,La\nbels", 'ID,"x"', "ID,Labels\n", "ID," + "L" * 300, "1,2"],
)
def test_a_header_that_a_spreadsheet_would_run_or_break_on_is_refused(tmp_path, header):
    with pytest.raises(KitError, match="two different words") as refusal:
        parse_header(header)
    assert len(str(refusal.value)) < 300
    with pytest.raises(KitError, match="two different words"):
        write_submission(tmp_path / "x.csv", IDS, LABELS, header=header.split(","))
    assert not list(tmp_path.iterdir())


def test_a_header_is_read_without_torch():
    code = "import sys; from kit.rules import parse_header; parse_header('a,b'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False\n", done.stderr


def test_rows_in_another_order_pass_only_if_that_is_asked_for(tmp_path):
    path = write(tmp_path / "x.csv", "ID,Labels\n0,1\n3,0\n7,9\n900,9\n")
    check_submission(path, ids=IDS, any_order=True)
    with pytest.raises(KitError, match="order of the test file"):
        check_submission(path, ids=IDS)
    with pytest.raises(KitError, match="id 7 is missing"):
        check_submission(write(path, "ID,Labels\n0,1\n3,0\n8,9\n900,9\n"), ids=IDS, any_order=True)


def test_many_averaged_runs_have_a_name_that_a_file_system_takes():
    names = [f"a-rather-long-name-of-a-run-{number}" for number in range(20)]
    one, other = submission_path([Run(name) for name in names]), submission_path([Run(name) for name in names[:-1]])
    assert len(one.name) < 120 and one.name.startswith(names[0]) and one.name != other.name
    assert submission_path([Run("a"), Run("b")]).name == "a+b.csv"


@pytest.mark.parametrize("classes", [5, 100])
def test_a_balanced_set_of_any_number_of_classes_is_likely(classes, recwarn):
    names = [f"class {number}" for number in range(classes)]
    warn_of_unlikely_labels(torch.arange(classes).repeat(100), names)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="class 0 is predicted on"):
        warn_of_unlikely_labels(torch.zeros(1000, dtype=torch.int64), names)
