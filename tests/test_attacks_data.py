"""Files made to take memory, time or other people's files: each ends in one sentence, within 512 MB and 5 s."""

import gzip
import io
import os
import pickle
import struct
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_sources import smooth_images, write_archive, write_batches, write_image_folder
from limits import sentence, within_limits
from PIL import Image

from kit.data import imagecache, imagefolder, official
from kit.data.classnames import CLASSES
from kit.data.testfile import load_competition_test
from kit.data.unpickle import read_pickle
from kit.errors import KitError

NESTED = b"\x80\x04)" + b"2\x86" * 60  # a tuple of itself twice, sixty times over: 2^60 items


def shared(inner: bytes, times: int) -> bytes:
    """A list that holds one list `times` times: nothing but references to it in the file."""
    return b"\x80\x04]q\x00(" + inner + b"e0]q\x01(" + b"h\x00" * times + b"e."


def deep_lists() -> bytes:
    """`ids` as lists of lists, ten references a level: 10^9 numbers for whoever unfolds them."""
    content = b"\x80\x04]q\x00(K\x01K\x02e0"
    for level in range(1, 9):
        content += b"]q" + bytes([level]) + b"(" + (b"h" + bytes([level - 1])) * 10 + b"e0"
    pickled = io.BytesIO()
    pickler = pickle.Pickler(pickled, 4)
    pickler.fast = True  # without references of its own
    pickler.dump(smooth_images(2).reshape(2, 3072))
    return content + b"}\x8c\x03idsh\x08s\x8c\x04data" + pickled.getvalue()[2:-1] + b"s."


SET = b"\x8c\x08builtins\x8c\x03set\x93"
RESTORED = pickle.dumps(smooth_images(100).reshape(100, 3072), 4)

PICKLES = {
    "a bytearray that claims 3 GB": b"\x80\x05\x96" + struct.pack("<Q", 3 << 30) + b".",
    "bytes that claim 3 GB": b"\x80\x04\x8e" + struct.pack("<Q", 3 << 30) + b".",
    "text that claims 3 GB": b"\x80\x04\x8d" + struct.pack("<Q", 3 << 30) + b".",
    "a frame that claims 3 GB": b"\x80\x04\x95" + struct.pack("<Q", 3 << 30) + b".",
    "a number that claims 2 GB": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b".",
    "nested tuples as a key": b"\x80\x04}" + NESTED[2:] + b"K\x01s.",
    "nested tuples in a set": b"\x80\x04\x8f(" + NESTED[2:] + b"\x90.",
    "nested tuples in a set that is called": b"\x80\x04" + SET + b"(" + NESTED[2:] + b"l\x85R.",
    "nested tuples as an encoding": b"\x80\x04\x8c\x07_codecs\x8c\x06encode\x93\x8c\x01a" + NESTED[2:] + b"\x86R.",
    "nested tuples as a type": b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93" + NESTED[2:] + b"\x85R.",
    "sets of one list": shared(b"K\x01" * 5000, 2)[:-1] + b"0(" + (SET + b"h\x00\x85R") * 5000 + b"l.",
    "ten million empty lists": b"\x80\x04(" + b"]" * 10_000_000 + b"l.",
    "keys that collide": b"\x80\x04}(" + b"".join(
        b"\x8a\x0c" + (i * (2**61 - 1)).to_bytes(12, "little") + b"N" for i in range(1, 50_000)
    ) + b"u.",
    "a name of a million letters": b"cos\n" + b"a" * 1_000_000 + b"\n.",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PICKLES)
def test_a_hostile_pickle_is_one_sentence(name, tmp_path):
    path = tmp_path / "attack.pkl"
    path.write_bytes(PICKLES[name])
    said = sentence(read_pickle, path)
    assert "attack.pkl" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [(deep_lists(), "not a list of whole numbers"), (pickle.dumps({"a" * 10_000_000: 1}), "has no 'data' but")],
    ids=["lists", "a long key"],
)
def test_a_hostile_test_file_is_one_sentence(content, words, tmp_path):
    path = tmp_path / "attack.pkl"
    path.write_bytes(content)
    said = sentence(load_competition_test, path)
    assert "attack.pkl" in said and words in said


def zipped(members: list[tuple[tarfile.TarInfo, int]]) -> bytes:
    """A tar.gz of members that hold so many zeros."""
    out = io.BytesIO()
    with gzip.open(out, "wb", compresslevel=1) as file:
        for member, size in members:
            file.write(member.tobuf(tarfile.PAX_FORMAT))
            for _ in range(size >> 20):
                file.write(bytes(1 << 20))
        file.write(bytes(1024))
    return out.getvalue()


def member(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.size, made.type = size, kind
    return made


ARCHIVES = {
    "a batch of 600 MB": lambda: zipped([(member("data_batch_1", 600 << 20), 600 << 20)]),
    "other files of 600 MB": lambda: zipped([(member(f"{i}.bin", 50 << 20), 50 << 20) for i in range(12)]),
    "a header of 600 MB": lambda: zipped([(member("x", 600 << 20, tarfile.XHDTYPE), 600 << 20)]),
    "a batch that claims 50 GB": lambda: zipped([(member("data_batch_1", 50 << 30), 0)]),
    "five thousand members": lambda: zipped([(member(str(i), 0), 0) for i in range(5_000)]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive_is_one_sentence(name, tmp_path):
    path = tmp_path / "attack.tar.gz"
    path.write_bytes(ARCHIVES[name]())
    said = sentence(official.read, path)
    assert "attack.tar.gz" in said


def text_bomb() -> bytes:
    """A PNG whose compressed comment inflates to 100 MB."""
    png = io.BytesIO()
    Image.new("RGB", (32, 32)).save(png, "PNG")
    chunk = b"zTXt" + b"Comment\0\0" + zlib.compress(bytes(100 << 20))
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png.getvalue()[:33] + chunk + png.getvalue()[33:]


def linked(path: Path, target: Path) -> None:
    path.symlink_to(target)


HUGE = b"IHDR" + struct.pack(">II5B", 60_000, 60_000, 8, 2, 0, 0, 0)
IMAGES = {
    "PostScript": (lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n"), "readable"),
    "a pipe": (lambda path: os.mkfifo(path), "is no file"),
    "a comment that inflates": (lambda path: path.write_bytes(text_bomb()), "readable"),
    "a link to nowhere": (lambda path: linked(path, path.parent / "nowhere.png"), "No such file"),
    "a link to itself": (lambda path: linked(path, path), "symbolic links"),
    "a folder": (lambda path: path.mkdir(), "is no file"),
    "a size of gigapixels": (
        lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\r" + HUGE + struct.pack(">I", zlib.crc32(HUGE))),
        "attack.png",
    ),
}


@pytest.mark.parametrize("resize", [False, True])
@pytest.mark.parametrize("name", IMAGES)
def test_a_hostile_image_is_one_sentence(name, resize, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_image_folder(tmp_path / "images", 1, ("a", "b"))
    make, words = IMAGES[name]
    make(tmp_path / "images" / "train" / "a" / "attack.png")
    assert words in sentence(imagefolder.read, tmp_path / "images", resize)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return tmp_path / "cache" / "kit"


def test_names_that_are_not_utf_8_are_read_and_spelt_out(tmp_path, cache):
    folder = tmp_path / "images"
    write_image_folder(folder, 1, ("a", "b"))
    odd = Path(os.fsdecode(os.fsencode(folder / "train" / "a") + b"/\xff.png"))
    (folder / "train" / "a" / "0.png").rename(odd)
    assert len(imagefolder.read(folder).train_images) == 2
    odd.write_bytes(b"no image")
    with pytest.raises(KitError, match=r"a/\\xff\.png is not a readable image"):
        imagefolder.read(folder)
    for part in ("train", "test"):
        (folder / part / "b").rename(Path(os.fsdecode(os.fsencode(folder / part) + b"/\xfe")))
    with pytest.raises(KitError, match=r"class folder with the name '\\udcfe'; rename it"):
        imagefolder.read(folder)


def test_images_of_other_kinds_are_left_out_with_a_word(tmp_path, cache):
    write_image_folder(tmp_path / "images", 1, ("a", "b"))
    Image.new("RGB", (32, 32)).save(tmp_path / "images" / "train" / "b" / "1.bmp")
    for _ in range(2):
        with pytest.warns(
            UserWarning, match=r"train: images of other kinds are left out \(1 \.bmp\); save them as \.png"
        ):
            assert len(imagefolder.read(tmp_path / "images").train_images) == 2


def test_a_link_that_leads_nowhere_in_place_of_a_class_is_one_sentence(tmp_path, cache):
    for target, reason in (("loop", "Too many levels of symbolic links"), ("/nowhere/loop", "No such file")):
        folder = tmp_path / target.strip("/").replace("/", "-")
        write_image_folder(folder, 1, ("a", "b"))
        for part in ("train", "test"):
            (folder / part / "loop").symlink_to(target)
        with pytest.raises(KitError, match=f"train/loop cannot be read: {reason}.*; replace it or remove it"):
            imagefolder.read(folder)


def test_images_in_other_places_are_left_out_with_a_word(tmp_path, cache):
    folder = tmp_path / "images"
    write_image_folder(folder, 1, ("a", "b.png"))
    (folder / "train" / "a" / "more").mkdir()
    for place in ("more/0.png", "../0.png"):
        Image.new("RGB", (32, 32)).save(folder / "train" / "a" / place)
    (folder / "train" / "a" / "notes").symlink_to("/nowhere")
    with pytest.warns(UserWarning, match=r"train/0.png and 1 more: left out, because every image has to lie directly"):
        assert len(imagefolder.read(folder).train_images) == 2


def test_pixels_changed_under_the_same_size_and_time_are_read_again(tmp_path, cache):
    write_image_folder(tmp_path / "images", 1, ("a", "b"))
    path = tmp_path / "images" / "train" / "a" / "0.png"
    before, status = imagefolder.read(tmp_path / "images"), path.stat()
    for level in range(256):
        Image.new("RGB", (32, 32), (level, 0, 0)).save(path)
        if path.stat().st_size <= status.st_size:
            break
    path.write_bytes(path.read_bytes().ljust(status.st_size, b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = imagefolder.read(tmp_path / "images")
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert not before.train_images.equal(after.train_images)


@pytest.mark.parametrize("open_to", ["file", "folder"])
def test_a_cache_that_others_can_write_is_not_believed(tmp_path, cache, open_to):
    write_image_folder(tmp_path / "images", 1, ("a", "b"))
    imagefolder.read(tmp_path / "images")
    assert "earlier" in imagefolder.read(tmp_path / "images").source
    path = next(cache.iterdir()) if open_to == "file" else cache
    path.chmod(0o777)
    assert "earlier" not in imagefolder.read(tmp_path / "images").source


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file to another user")
def test_a_cache_of_another_user_is_not_believed(tmp_path, cache):
    write_image_folder(tmp_path / "images", 1, ("a", "b"))
    imagefolder.read(tmp_path / "images")
    os.chown(next(cache.iterdir()), 12345, 12345)
    assert "earlier" not in imagefolder.read(tmp_path / "images").source


VALID = pickle.dumps({b"data": smooth_images(2).reshape(2, 3072), b"ids": [1, 2], "s": {1, (2).__index__()}}, 4)
OPCODES = st.lists(
    st.sampled_from([getattr(pickle, name) for name in pickle.__all__ if isinstance(getattr(pickle, name), bytes)]
                    + [b"K\x01", b"\x8c\x01a", b"C\x01a", b"q\x00", b"h\x00"]),
    max_size=40,
)  # fmt: skip


@within_limits
@given(OPCODES)
@settings(max_examples=300, deadline=5000)
def test_any_program_of_opcodes_is_a_value_or_a_sentence(opcodes):
    try:
        read_pickle(io.BytesIO(b"".join(opcodes) + b"."))
    except KitError as error:
        assert len(str(error)) < 1000


@within_limits
@given(st.binary(min_size=1, max_size=20), st.integers(0, len(VALID)))
@settings(max_examples=100, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_test_file_is_images_or_a_sentence(tmp_path, noise, place):
    path = tmp_path / "damaged.pkl"
    path.write_bytes(VALID[:place] + noise + VALID[place + len(noise) :])
    try:
        assert load_competition_test(path).images.shape[1:] == (3, 32, 32)
    except KitError as error:
        assert len(str(error)) < 1000


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@within_limits
@given(noise=st.binary(min_size=1, max_size=8), share=st.floats(0, 1), cut=st.booleans())
@settings(max_examples=60, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_image_is_pixels_or_a_sentence(tmp_path, kind, noise, share, cut):
    content = io.BytesIO()
    Image.fromarray(smooth_images(1)[0].transpose(1, 2, 0)).save(content, kind)
    place = int(share * len(content.getvalue()))
    damaged = content.getvalue()[:place] + (b"" if cut else noise + content.getvalue()[place + len(noise) :])
    path = tmp_path / "damaged.png"
    path.write_bytes(damaged)
    for resize in (False, True):
        try:
            assert imagefolder._decode_file(str(path), resize).shape == (32, 32, 3)
        except KitError as error:
            assert len(str(error)) < 1000


def test_a_whole_archive_still_reads_and_a_pipe_is_no_archive(tmp_path):
    write_batches(tmp_path / "batches")
    write_archive(tmp_path / "whole.tar.gz", tmp_path / "batches")
    assert official.read(tmp_path / "whole.tar.gz").classes == CLASSES
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(KitError, match="pipe is no file"):
        official.read(tmp_path / "pipe")
    with pytest.raises(KitError, match="pipe is no file"):
        read_pickle(tmp_path / "pipe")


def test_the_cache_is_private(tmp_path, cache):
    write_image_folder(tmp_path / "images", 1, ("a", "b"))
    imagefolder.read(tmp_path / "images")
    assert all(imagecache._ours(path) for path in (cache, *cache.iterdir()))
