"""The competition's test file: images without labels, and their ids in the submission.

In 2024 an image was a row of 3,072 numbers, all red values first; in 2025 it was 32x32 pixels of three values. The file
does not say which, and images read in the wrong layout are scrambled without any error. So the pixels decide: in the
right layout neighbouring pixels are alike.
"""

import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kit.data import locations
from kit.data.dataset import spread
from kit.data.unpickle import read_dictionary
from kit.errors import KitError
from kit.system import files, paths

_PROTOCOLS = {"2025": 4, "2024": 5}  # of pickle: with these the files have exactly the lengths of the course's files

# The right layout is smoother: for each of CIFAR-10's 10,000 test images its roughness is at most 0.92 of that in the
# wrong one. For noise the two are about equal; then the shape of the array decides.
_CLEARLY_SMOOTHER = 0.93
_SAMPLE = 1000


@dataclass(frozen=True, eq=False)
class CompetitionTest:
    """The images to label, uint8 (N,3,32,32), and their ids, int64 (N,), both in the file's order."""

    images: Tensor
    ids: Tensor


def find_competition_test(folder: str | Path = "auto") -> Path | None:
    """Find the competition's test file by its name, `cifar_test_nolabel.pkl` or `cifar_test_nolabels.pkl`.

    Args:
        folder: `auto` for $CIFAR10_DIR, Kaggle's mounts and ./data; or the folder to look in, at any depth.

    Returns:
        Its path, or None.
    """
    place, _ = locations.place_of(folder)
    return locations.find_test_file() if place == "auto" else locations.find_test_file_in(paths.given(place))


def load_competition_test(path: str | Path) -> CompetitionTest:
    """Read a test file of either layout: arrays (N,3072), (N,32,32,3) or (N,3,32,32) under `data`, and `ids`.

    Raises:
        KitError: the file is not a pickle of arrays, the images have another shape or type, or ids are missing or
            repeated.
    """
    content = read_dictionary(path)
    for key in ("data", "ids"):
        if key not in content:
            raise KitError(f"{path} has no '{key}' but {_keys(content)}; the competition's file has 'data' and 'ids'")
    images = _channels_first(_as_bytes(content["data"], path), path)
    return CompetitionTest(images, _check_ids(content["ids"], len(images), path))


def write_competition_test(path: str | Path, images: Tensor, ids: Tensor, layout: str = "2025") -> None:
    """Write a test file like the course's, to rehearse a submission with images whose labels are known.

    Args:
        path: the file to write or replace.
        images: uint8 (N,3,32,32).
        ids: int64 (N,).
        layout: `2025` for (N,32,32,3), `2024` for (N,3072).

    Raises:
        KitError: the layout is unknown, or the file cannot be written.
    """
    if layout not in _PROTOCOLS:
        raise KitError(f"layout is {layout!r}; it can be {' or '.join(_PROTOCOLS)}")
    data = images.permute(0, 2, 3, 1) if layout == "2025" else images.flatten(1)
    content = {b"data": data.contiguous().numpy(), b"ids": ids.numpy()}
    files.write_bytes(path, pickle.dumps(content, _PROTOCOLS[layout]))


def _keys(content: dict[str, Any]) -> str:
    """The first keys, shortened: a file may hold anything."""
    return str([key[:40] for key in sorted(content)[:5]])


def _as_bytes(data: Any, path: str | Path) -> np.ndarray:
    if not isinstance(data, np.ndarray) or data.dtype.kind not in "ui":
        kind = data.dtype if isinstance(data, np.ndarray) else f"a {type(data).__name__}"
        raise KitError(f"{path} has {kind} under 'data'; the images must be whole numbers from 0 to 255 (uint8)")
    if data.shape[1:] not in ((3072,), (32, 32, 3), (3, 32, 32)) or len(data) == 0:
        raise KitError(
            f"{path} has an array of shape {data.shape} under 'data'; it can be (N, 3072), (N, 32, 32, 3) or "
            "(N, 3, 32, 32), so download the file again"
        )
    if data.min() < 0 or data.max() > 255:
        raise KitError(
            f"{path} has numbers from {data.min()} to {data.max()} under 'data'; pixels must be 0 to 255 (uint8)"
        )
    return np.ascontiguousarray(data, np.uint8)


def _channels_first(data: np.ndarray, path: str | Path) -> Tensor:
    """Images (N,3,32,32), read in the layout in which they are smooth; if neither clearly is, the shape decides."""
    flat = torch.from_numpy(data).flatten(1)
    layouts = {"planes": flat.view(-1, 3, 32, 32), "pixels": flat.view(-1, 32, 32, 3).permute(0, 3, 1, 2)}
    expected, other = ("pixels", "planes") if data.shape[1:] == (32, 32, 3) else ("planes", "pixels")
    if _roughness(layouts[other]) >= _CLEARLY_SMOOTHER * _roughness(layouts[expected]):
        return layouts[expected].contiguous()
    if data.ndim == 4:
        warnings.warn(
            f"{path} is shaped {data.shape} but its images are only smooth when read as {other}; reading it so",
            stacklevel=3,
        )
    return layouts[other].contiguous()


def _roughness(images: Tensor) -> float:
    """Mean absolute difference of neighbouring pixels, over an even sample of the images."""
    sample = spread(images, _SAMPLE).float()
    return (sample.diff(dim=2).abs().mean() + sample.diff(dim=3).abs().mean()).item()


def _check_ids(ids: Any, count: int, path: str | Path) -> Tensor:
    if isinstance(ids, list | tuple):  # numpy would expand nested lists to a thousand times the size of the file
        flat = all(isinstance(value, int | np.integer) and abs(int(value)) < 2**63 for value in ids)
        array = np.array(ids, np.int64) if flat else np.empty((0, 0))
    else:
        array = ids if isinstance(ids, np.ndarray) else np.empty((0, 0))
    if array.ndim == 1 and len(array) != count:
        raise KitError(f"{path} has {len(array)} ids for {count} images; there must be one for each image")
    if array.ndim != 1 or array.dtype.kind not in "ui" or array.max() > np.iinfo(np.int64).max:
        raise KitError(f"{path} has 'ids' that are not a list of whole numbers; download the file again")
    values, counts = np.unique(array, return_counts=True)
    if counts.max() > 1:
        raise KitError(f"{path} has the id {values[counts.argmax()]} more than once; each image needs its own id")
    return torch.from_numpy(array.astype(np.int64))
