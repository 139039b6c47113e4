"""Verify a pack: its files by their hashes, and its CSV by predicting it again with the kit inside."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kit.errors import KitError
from kit.pack.entrypoints import LOGITS
from kit.pack.making import MANIFEST, versions
from kit.submission import check_submission, find_test_file, sha256
from kit.system import paths
from kit.system.archive import unpack
from kit.system.files import read_json

_SHOWN = 10  # differing labels that are printed
_PREDICT = "from kit.pack import predict_again; import sys; predict_again(sys.argv[1], sys.argv[2], sys.argv[3])"


def verify(pack: str | Path, test_file: str = "auto") -> bool:
    """Check the hashes of a pack, predict its CSV again in an empty folder, and print what differs.

    The kit inside the pack predicts, in a process of its own: verify only packs whose makers you trust.

    Args:
        pack: the zip, or the folder that it was unpacked to.
        test_file: the competition's test file; `auto` looks for it.

    Returns:
        Whether the CSV is the same, byte for byte.

    Raises:
        KitError: no pack, changed files, another or no test file, or the prediction failed.
    """
    path = find_test_file(test_file, "auto")
    if path is None:
        raise KitError("the competition's test file was not found: give it with --test_file")
    with _unpacked(paths.given(pack)) as folder, tempfile.TemporaryDirectory() as empty:
        manifest = read_json(folder / MANIFEST)
        _check_files(folder, manifest)
        _tell_versions(manifest)
        print("predicting again with the kit in the pack", flush=True)
        again = _predict(folder, path.resolve(), Path(empty) / "again.csv")
        original = folder / manifest["csv"]
        if again.read_bytes() == original.read_bytes():
            print(f"{original.name}: the same, byte for byte ({manifest['csv_sha256']})")
            return True
        logits = torch.load(again.with_name(LOGITS), weights_only=True)
        print("\n".join(differences(original, again, logits)))
        return False


@contextmanager
def _unpacked(pack: Path) -> Iterator[Path]:
    if pack.is_dir():
        yield pack.resolve()
        return
    with tempfile.TemporaryDirectory() as folder:
        unpack(pack, folder)
        yield Path(folder)


def _check_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Compare every file of the pack with its hash."""
    if not isinstance(manifest, dict) or not {"files", "csv", "csv_sha256", "versions", "runs"} <= set(manifest):
        raise KitError(f"{folder / MANIFEST} is not of a pack; make the pack again")
    for name, expected in manifest["files"].items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file() or sha256(path) != expected:
            raise KitError(f"{name} is missing or is not the file that was packed; get the pack again")
    print(f"{len(manifest['files'])} files are those that were packed")


def _tell_versions(manifest: dict[str, Any]) -> None:
    """Print the versions that differ here from those that packed, which may change single labels."""
    here = versions()
    others = [f"{name} {here[name]} (packed: {there})" for name, there in manifest["versions"].items()
              if here.get(name, there) != there]  # fmt: skip
    if others:
        print(f"other versions here: {', '.join(others)}")


def _predict(folder: Path, test_file: Path, output: Path) -> Path:
    """Let the kit of the pack, and no other, predict the CSV again; its lines of progress are shown."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", _PREDICT, str(folder), str(test_file), str(output)]
    with tempfile.TemporaryFile("w+") as errors:  # a pipe that nobody reads would fill up
        child = subprocess.Popen(
            command, cwd=output.parent, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        with child:
            for line in child.stdout or ():
                if line.startswith("..."):
                    print(line, end="", flush=True)
        errors.seek(0)
        reason = (errors.read().strip().splitlines() or ["no reason given"])[-1][:300]
    if child.returncode:
        raise KitError(f"the kit in the pack cannot predict: {reason}")
    return output


def differences(original: Path, again: Path, logits: Tensor) -> list[str]:
    """In words, which labels differ, and how close the two classes were.

    Args:
        original: the CSV of the pack.
        again: the CSV that was predicted now.
        logits: float32 (N, classes), in the order of `again`.
    """
    header = again.read_text().split("\n", 1)[0].split(",")
    new = check_submission(again, header=header)
    old = check_submission(original, header=original.read_text().split("\n", 1)[0].split(","))
    there = dict(zip(old.iloc[:, 0].astype(int), old.iloc[:, 1].astype(int), strict=True))
    chances = logits.double().softmax(1)  # (N, classes)
    lines: list[tuple[float, str]] = []
    for row, (key, label) in enumerate(zip(new.iloc[:, 0].astype(int), new.iloc[:, 1].astype(int), strict=True)):
        packed = there.get(key)
        if packed is not None and packed != label:
            gap = 100 * (chances[row, label] - chances[row, packed]).item()
            lines.append((gap, f"id {key}: {label} now, {packed} in the pack, {gap:.2f} points of probability apart"))
    shown = [text for _, text in sorted(lines, reverse=True)[:_SHOWN]]
    missing = len(set(there) ^ set(new.iloc[:, 0].astype(int)))
    told = [f"{len(lines)} of {len(new):,} labels differ" + (f", and {missing} ids" if missing else "")]
    if not lines and not missing:
        told = ["all labels are the same; only the bytes differ (line ends, or the order of the rows)"]
    return [*told, *shown]
