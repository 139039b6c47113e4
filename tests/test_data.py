"""Where CIFAR-10 is looked for, what `digits` is, how training images are divided; and the real images."""

import hashlib
import os
import pickle
import re
import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_sources import write_archive, write_batches, write_image_folder
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from kit.data import digits, download, imagefolder, locations, official
from kit.data import loading as data
from kit.data.loading import CLASSES, Dataset, load, load_competition_test, split, write_competition_test
from kit.errors import KitError
from kit.system import progress

FETCH = download._fetch
SLUG = locations.COMPETITIONS[0]
OFFICIAL = "official python batches in the folder"


@pytest.fixture
def kaggle(tmp_path, monkeypatch) -> Path:
    """An empty Kaggle input, an empty working folder, no variable set, no network, and a cache of its own."""
    monkeypatch.setattr(locations, "KAGGLE_INPUT", tmp_path / "input")
    monkeypatch.delenv("CIFAR10_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_fetch", no_network)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(locations, "workspace", Path)
    return tmp_path / "input"


class SilentHandler(SimpleHTTPRequestHandler):
    """Serves a folder without a word."""

    def log_message(self, *_arguments) -> None:
        pass


def no_network(root: str) -> None:
    Path(root, "cifar-10-python.tar.gz").write_bytes(b"the first bytes")
    raise OSError("no route to host")


@pytest.mark.filterwarnings("ignore:.* differ from the published md5 sums")
def test_classes_are_told_as_load_finds_them_without_an_image(kaggle, monkeypatch):
    own = tuple("abcdefghij")
    write_image_folder(kaggle / "own", 1, own)
    write_batches(kaggle / "official" / "cifar-10-batches-py")
    found = {source: load(source).classes for source in (kaggle / "own", kaggle / "official", "digits")}
    monkeypatch.setattr(data, "_digits", None)
    monkeypatch.setattr(imagefolder, "read", None)
    monkeypatch.setattr(official, "read", None)
    assert {source: data.classes_of(source) for source in found} == found
    assert found[kaggle / "own"] == own
    assert data.classes_of("auto") == CLASSES
    with pytest.raises(KitError, match="does not exist; pass a folder with"):
        data.classes_of(kaggle / "nowhere")


# --- auto ---


@pytest.mark.filterwarnings("ignore:.*published md5 sums")
@pytest.mark.parametrize(
    "where",
    [
        f"competitions/{SLUG}/cifar-10-python/cifar-10-batches-py",
        f"{SLUG}/cifar-10-python/cifar-10-batches-py",
        f"{SLUG}/cifar-10-batches-py",
        "cifar10-copy/cifar-10-batches-py",
        "datasets/someone/cifar/files/cifar-10-batches-py",
    ],
)
def test_auto_finds_every_mount_of_kaggle(kaggle, where):
    images, labels = write_batches(kaggle / where)
    dataset = load()
    assert dataset.source == f"{OFFICIAL} {kaggle / where}"
    np.testing.assert_array_equal(dataset.train_images.numpy(), images[:50])
    assert dataset.test_labels.tolist() == labels[50:].tolist()


@pytest.mark.filterwarnings("ignore:.*published md5 sums")
def test_auto_looks_in_the_order_that_is_documented(kaggle, tmp_path, monkeypatch):
    write_image_folder(Path("data"))
    assert load().source == "image folder data"
    for where in ("copy", SLUG, f"competitions/{SLUG}"):
        write_batches(kaggle / where / "cifar-10-batches-py")
        assert load().source == f"{OFFICIAL} {kaggle / where / 'cifar-10-batches-py'}"
    write_image_folder(tmp_path / "named")
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "named"))
    assert load().source == f"image folder {tmp_path / 'named'}"


def test_a_variable_that_names_nothing_is_an_error_not_a_hint(kaggle, monkeypatch, tmp_path):
    write_image_folder(Path("data"))
    monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "absent"))
    with pytest.raises(KitError, match=r"CIFAR10_DIR=.*absent holds no CIFAR-10; let it name a folder"):
        load()


@pytest.mark.parametrize("existed", [False, True])
def test_nothing_anywhere_is_told_in_one_sentence_and_leaves_nothing(kaggle, existed, capsys):
    if existed:
        Path("data").mkdir()
    with pytest.raises(KitError) as refusal:
        load()
    sentence = str(refusal.value)
    for word in (
        "CIFAR10_DIR",
        str(kaggle),
        str(Path("data").resolve()),
        "no route to host",
        "-p data digits",
    ):
        assert word in sentence
    assert "\n" not in sentence
    assert capsys.readouterr() == ("", "")
    assert list(Path().rglob("*")) == ([Path("data")] if existed else [])


@pytest.mark.filterwarnings("ignore:.*published md5 sums")
def test_a_download_is_kept_for_the_next_start(kaggle, monkeypatch):
    def fetch(root: str) -> None:
        assert socket.getdefaulttimeout() is not None
        write_batches(Path(root, "cifar-10-batches-py"))

    monkeypatch.setattr(download, "_fetch", fetch)
    assert load().source == f"{OFFICIAL} data/cifar-10-batches-py"
    assert socket.getdefaulttimeout() is None
    monkeypatch.setattr(download, "_fetch", no_network)
    assert len(load().train_images) == 50
    assert list(Path("data").iterdir()) == [Path("data/cifar-10-batches-py")]


def test_a_server_that_never_answers_is_given_up(kaggle, monkeypatch):
    """The real torchvision download, sent to a socket that takes connections and says nothing."""
    monkeypatch.setattr(download, "_SECONDS_WITHOUT_ANSWER", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/cifar.tar.gz")
        monkeypatch.setattr(download, "_fetch", FETCH)
        with pytest.raises(KitError, match=r"the download failed .*timed out"):
            load()


@pytest.mark.filterwarnings("ignore:.*published md5 sums")
@pytest.mark.parametrize("quiet", ["0", "1"])
def test_torchvisions_own_bar_is_replaced_by_the_kits_lines(kaggle, tmp_path, monkeypatch, capfd, quiet):
    """The real torchvision download, from a server on this machine."""
    write_batches(tmp_path / "made")
    write_archive(tmp_path / "served" / official.ARCHIVE, tmp_path / "made")
    serve = partial(SilentHandler, directory=tmp_path / "served")
    for name in ("FIRST_SECONDS", "LINE_SECONDS", "SHORT_SECONDS"):
        monkeypatch.setattr(progress, name, 0.0)
    monkeypatch.setenv(progress.QUIET, quiet)
    monkeypatch.setattr(download, "_fetch", FETCH)
    there = lambda cifar: Path(cifar.root, cifar.base_folder).is_dir()  # noqa: E731
    monkeypatch.setattr(CIFAR10, "_check_integrity", there)  # ours are small, with sums of their own
    monkeypatch.setattr("torchvision.datasets.utils.check_md5", lambda *_, **__: True)
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:{server.server_port}/{official.ARCHIVE}")
        assert len(load().train_images) == 50
        server.shutdown()
    out, err = capfd.readouterr()
    assert "B/s" not in err, "a bar"
    assert re.match(r"\.\.\. downloading CIFAR-10: [\d,]+ of [\d,]+ bytes", out) if quiet == "0" else out == ""


# --- a folder or an archive ---


@pytest.mark.filterwarnings("ignore:.*published md5 sums")
@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py", "cifar-10-python/cifar-10-batches-py", "renamed"])
def test_batches_are_found_at_the_folder_and_one_folder_down(kaggle, tmp_path, inside):
    folder = tmp_path / "mine"
    write_batches(folder / inside)
    assert load(str(folder)).source == f"{OFFICIAL} {folder / inside}"


@pytest.mark.filterwarnings("ignore:.*published md5 sums")
def test_an_archive_is_found_by_its_folder_or_given_itself(kaggle, tmp_path):
    write_batches(tmp_path / "batches")
    write_archive(tmp_path / "mount" / "cifar-10-python.tar.gz", tmp_path / "batches")
    (tmp_path / "mount").chmod(0o555)
    for source in (tmp_path / "mount", tmp_path / "mount" / "cifar-10-python.tar.gz"):
        dataset = load(source)
        assert dataset.source.endswith("in the archive " + str(tmp_path / "mount" / "cifar-10-python.tar.gz"))
        assert dataset.test_images.shape == (10, 3, 32, 32)


def test_an_image_folder_is_found_one_folder_down(kaggle, tmp_path):
    write_image_folder(tmp_path / "mount" / "CIFAR-10-images")
    assert load(tmp_path / "mount").classes == CLASSES


def test_folders_without_images_are_refused(kaggle, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(KitError, match=r"empty holds no CIFAR-10; pass a folder with cifar-10-batches-py, "):
        load(tmp_path / "empty")
    with pytest.raises(KitError, match=r"digit does not exist; pass a folder .* or auto, or digits"):
        load("digit")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(KitError, match=r"notes\.txt is not a whole tar\.gz archive"):
        load(tmp_path / "notes.txt")
    write_image_folder(tmp_path / "one", 1, CLASSES[:1])
    with pytest.raises(KitError, match="holds 1 class folder; arrange the images as train/<class>"):
        load(tmp_path / "one")


@pytest.mark.filterwarnings("ignore:.*published md5 sums")
def test_a_download_of_kaggle_is_found_two_folders_down_and_in_kagglehubs_cache(kaggle, tmp_path, monkeypatch):
    two_down = tmp_path / "data" / "deep-learning-spring-2025-project-1" / "cifar-10-python" / "cifar-10-batches-py"
    write_batches(two_down)
    assert locations.find_form(tmp_path / "data") == two_down
    hub = tmp_path / "hub"
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(hub))
    cached = hub / "competitions" / "deep-learning-spring-2025-project-1"
    write_batches(cached / "cifar-10-python" / "cifar-10-batches-py")
    (cached / "cifar_test_nolabel.pkl").write_bytes(b"")
    assert locations.find_dataset() == cached / "cifar-10-python" / "cifar-10-batches-py"
    assert locations.find_test_file() == cached / "cifar_test_nolabel.pkl"


@pytest.mark.filterwarnings("ignore:.*published md5 sums")
def test_unfinished_batches_are_not_passed_over(kaggle):
    write_batches(Path("data/cifar-10-batches-py"))
    Path("data/cifar-10-batches-py/test_batch").unlink()
    with pytest.raises(KitError, match=r"data/cifar-10-batches-py lacks test_batch"):
        load()


# --- digits ---


def test_digits_are_scikit_learns_enlarged_four_times():
    dataset, original = load("digits"), load_digits()
    images = torch.cat([dataset.train_images, dataset.test_images])
    assert images.dtype == torch.uint8
    assert images.shape == (1797, 3, 32, 32)
    assert dataset.classes == tuple("0123456789")
    assert torch.equal(images[:, 0], images[:, 1])
    assert torch.equal(images[:, 0], images[:, 2])
    # Shrunk again, each is near the original with its own label, and no original is missing.
    small = torch.nn.functional.avg_pool2d(images[:, 0].float(), 4).flatten(1) / 255 * 16
    nearest = torch.cdist(small, torch.from_numpy(original.images).float().flatten(1)).argmin(1)
    labels = torch.cat([dataset.train_labels, dataset.test_labels])
    assert labels.tolist() == original.target[nearest].tolist()
    assert len(nearest.unique()) > 1790  # a few of the originals are twins of one another
    assert images.max() == 255
    assert images.min() == 0


def test_digits_are_the_same_if_scikit_learn_keeps_them_elsewhere(monkeypatch):
    expected = digits.digits()
    monkeypatch.setattr(digits, "find_spec", lambda _name: None)
    assert all(map(torch.equal, digits.digits(), expected))


def test_digits_are_always_divided_alike_and_by_class():
    one, other = load("digits"), load("digits")
    assert torch.equal(one.test_images, other.test_images)
    shares = one.test_labels.bincount() / torch.from_numpy(load_digits().target).bincount()
    assert ((shares > 0.19) & (shares < 0.21)).all()


def test_noisy_digits_are_the_same_digits_and_the_same_bytes_on_every_machine():
    plain, noisy = load("digits"), load("noisy-digits")
    assert torch.equal(plain.test_labels, noisy.test_labels)
    shift = noisy.train_images.float() - plain.train_images.float()
    assert 20 < shift.abs().mean() < 40  # gray levels of 255
    digest = hashlib.sha256(noisy.test_images.numpy().tobytes()).hexdigest()
    assert digest.startswith("b5d36d976d67f7fd")
    assert "noise" in noisy.source and "noise" not in plain.source


# --- splits ---


def numbered(labels: list[int]) -> Dataset:
    """A dataset whose images carry their number, so that each can be followed."""
    count = len(labels)
    images = torch.arange(count).to(torch.int32).view(torch.uint8).view(count, 4)[:, :3]
    images = images[:, :, None, None].expand(-1, -1, 32, 32)
    test = torch.full((3, 3, 32, 32), 255, dtype=torch.uint8)
    return Dataset(images, torch.tensor(labels), test, torch.tensor([0, 1, 2]), CLASSES, "numbered")


def numbers(images: torch.Tensor) -> list[int]:
    low, middle, high = images[:, :, 0, 0].long().unbind(1)
    return (low + 256 * middle + 65536 * high).tolist()


def test_paper_trains_on_all_and_validates_on_the_official_test_images():
    dataset = numbered([0, 1, 2] * 10)
    parts = split(dataset, "paper", 0)
    assert parts.train_images is dataset.train_images
    assert parts.train_labels is dataset.train_labels
    assert parts.validation_images is dataset.test_images
    assert parts.validation_labels is dataset.test_labels
    assert parts.test_images is None
    assert parts.test_labels is None


@given(
    counts=st.lists(st.integers(2, 60), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=60, deadline=None)
def test_holdout_divides_every_class_by_16_percent(counts, order, seed):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    order.shuffle(labels)
    parts = split(numbered(labels), "holdout", seed)
    train, held = numbers(parts.train_images), numbers(parts.validation_images)
    assert sorted(train + held) == list(range(len(labels)))
    assert parts.train_labels.tolist() == [labels[i] for i in train]
    assert parts.validation_labels.tolist() == [labels[i] for i in held]
    for label, count in enumerate(counts):
        assert 1 <= parts.validation_labels.tolist().count(label) < count
        assert abs(parts.validation_labels.tolist().count(label) - 0.16 * count) < 1
    assert (parts.test_images == 255).all()
    assert parts.test_labels.tolist() == [0, 1, 2]


def test_holdout_is_a_function_of_the_seed():
    dataset = numbered([0, 1, 2, 3] * 100)
    one, same, other = (numbers(split(dataset, "holdout", seed).validation_images) for seed in (5, 5, 6))
    assert one == same
    assert one != other


def test_an_unknown_split_is_refused():
    with pytest.raises(KitError, match="split is 'random'; it can be paper or holdout"):
        split(numbered([0, 1]), "random", 0)


# --- the real images ---


@pytest.fixture(scope="module")
def real() -> Dataset:
    if not os.environ.get("CIFAR10_DIR"):
        pytest.skip("CIFAR10_DIR names no images")
    return load()


@pytest.mark.slow
@pytest.mark.real
def test_the_real_images_have_the_published_statistics(real):
    assert real.classes == CLASSES
    assert real.train_labels.bincount().tolist() == [5000] * 10
    assert real.test_labels.bincount().tolist() == [1000] * 10
    scaled = real.train_images.double() / 255
    np.testing.assert_allclose(scaled.mean((0, 2, 3)), [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(scaled.std((0, 2, 3)), [0.2470, 0.2435, 0.2616], atol=5e-5)


@pytest.mark.slow
@pytest.mark.real
def test_a_second_start_on_the_real_images_decodes_nothing(real, monkeypatch):
    monkeypatch.setattr(imagefolder, "_decode_file", lambda path: pytest.fail(f"{path} was decoded again"))
    again = load()
    assert torch.equal(again.train_images, real.train_images)


@pytest.mark.slow
@pytest.mark.real
def test_holdout_keeps_800_real_images_of_each_class(real):
    parts = split(real, "holdout", 1029)
    assert parts.validation_labels.bincount().tolist() == [800] * 10
    assert parts.train_labels.bincount().tolist() == [4200] * 10


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("layout", ["2024", "2025"])
def test_the_real_test_images_survive_both_layouts(real, tmp_path, layout):
    ids = torch.arange(10_000).flip(0)
    write_competition_test(tmp_path / "test.pkl", real.test_images, ids, layout)
    test = load_competition_test(tmp_path / "test.pkl")
    assert torch.equal(test.images, real.test_images)
    assert torch.equal(test.ids, ids)


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize("pixels", [False, True])
def test_each_real_image_alone_tells_its_layout(real, tmp_path, pixels):
    for image in real.test_images[::50]:
        flat = (image.permute(1, 2, 0) if pixels else image).reshape(1, 3072).numpy()
        path = tmp_path / "one.pkl"
        path.write_bytes(pickle.dumps({b"data": flat, b"ids": [0]}))
        assert torch.equal(load_competition_test(path).images[0], image)
