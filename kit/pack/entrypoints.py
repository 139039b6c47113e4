"""What the entry points of an unpacked pack do: predict the CSV again, and train the runs again."""

import argparse
from pathlib import Path

import torch

from kit.data import load, load_competition_test
from kit.errors import KitError
from kit.predict import average_models
from kit.run import Run
from kit.submission import find_test_file, sha256, write_submission
from kit.system.files import read_json, replacing

LOGITS = "again.pt"  # beside the CSV: float32 (N, classes)


def predict_again(
    folder: str | Path | None = None, test_file: str | None = None, output: str | Path = "again.csv"
) -> Path:
    """Predict the CSV of the pack in `folder` again, and leave the logits beside it.

    Args:
        folder: the unpacked pack; the current folder by default.
        test_file: the competition's test file; by default the one of the command line, or auto.
        output: the CSV to write.

    Raises:
        KitError: there is no test file, or it is another one than the one of the pack.
    """
    folder = Path(folder or ".").resolve()
    manifest = read_json(folder / "manifest.json")
    path = find_test_file(test_file or _option("test_file", "the competition's test file"), "auto")
    if path is None:
        raise KitError("the competition's test file was not found: give it with --test_file")
    if manifest["test_file_sha256"] not in (None, sha256(path)):
        raise KitError(f"{path} is another test file than the one that the CSV was made of; give that one")
    test = load_competition_test(path)
    networks = [Run(folder / "runs" / name).model(manifest["weights"]) for name in manifest["runs"]]
    logits = average_models(networks, test.images, tta=manifest["tta"], amp=manifest["amp"]).logits
    header = (folder / manifest["csv"]).read_text().split("\n", 1)[0].split(",")
    csv = write_submission(output, test.ids, logits.argmax(1), header=header)
    with replacing(csv.with_name(LOGITS)) as part:
        torch.save(logits, part)
    print(csv)
    return csv


def train_again(folder: str | Path | None = None, data: str | None = None) -> list[Run]:
    """Train the runs of the pack in `folder` again, into its folder trained/.

    Args:
        folder: the unpacked pack; the current folder by default.
        data: where the images come from, as for kit.data.load; by default the command line's, or auto.

    Raises:
        KitError: the images are not found or are others.
    """
    from kit.train import train

    folder = Path(folder or ".").resolve()
    dataset = load(data or _option("data", "where the images come from: auto, digits, noisy-digits, or a folder"))
    trained = []
    for name in read_json(folder / "manifest.json")["runs"]:
        packed = Run(folder / "runs" / name)
        packed.check_images(dataset)
        trained.append(train(packed.recipe, dataset, Run(folder / "trained" / name)))
        print(trained[-1].summary())
    return trained


def _option(name: str, meaning: str) -> str:
    """The value of --`name` on the command line of an entry point, `auto` by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument(f"--{name}", default="auto", help=meaning)
    return getattr(parser.parse_args(), name)
