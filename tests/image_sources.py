"""Small sources of images in every form that kit.data reads, written the way their publishers write them."""

import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from kit.data.loading import CLASSES

BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")


def smooth_images(count: int, seed: int = 0) -> np.ndarray:
    """Colour gradients as uint8 (N,3,32,32): smooth like photographs, unlike noise."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 255, (count, 3, 2, 2))
    ramp = np.linspace(0, 1, 32)
    rows = corners[:, :, :1] * (1 - ramp[:, None, None]).reshape(1, 1, 32, 1)
    rows = rows + corners[:, :, 1:] * ramp.reshape(1, 1, 32, 1)
    return (rows[..., :1] * (1 - ramp) + rows[..., 1:] * ramp).astype(np.uint8)


def write_image_folder(folder: Path, per_class: int = 2, classes: tuple[str, ...] = CLASSES) -> np.ndarray:
    """Write PNG files train/<class>/<i>.png and test/<class>/<i>.png; return the images in that order."""
    images = smooth_images(2 * len(classes) * per_class)
    remaining = iter(images)
    for part in ("train", "test"):
        for name in classes:
            (folder / part / name).mkdir(parents=True)
            for i in range(per_class):
                pixels = next(remaining).transpose(1, 2, 0)
                Image.fromarray(pixels).save(folder / part / name / f"{i}.png")
    return images


def write_batches(folder: Path, per_batch: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Write the seven official files; return images (N,3,32,32) and labels (N,) of all six batches."""
    folder.mkdir(parents=True)
    images = smooth_images(len(BATCHES) * per_batch)
    labels = np.arange(len(images)) % 10
    for i, name in enumerate(BATCHES):
        part = slice(i * per_batch, (i + 1) * per_batch)
        batch = {"data": images[part].reshape(per_batch, 3072), "labels": labels[part].tolist()}
        (folder / name).write_bytes(python2_pickle(batch))
    (folder / "batches.meta").write_bytes(python2_pickle({"label_names": list(CLASSES)}))
    return images, labels


def python2_pickle(value: Any) -> bytes:
    """Pickle as Python 2 with numpy 1 did, which is how CIFAR-10 was published: all text as byte strings."""
    file = io.BytesIO()
    _Python2Pickler(file, 2).dump(value)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


class _Python2Pickler(pickle._Pickler):
    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def save_string(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def write_archive(path: Path, batches: Path) -> None:
    """Pack a folder of batches as the official tar.gz is packed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(batches, "cifar-10-batches-py")
