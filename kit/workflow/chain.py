"""From images to a checked CSV: the notebooks in order, on CIFAR-10 or, as the demo, on embedded digits."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from kit.data import load, write_competition_test
from kit.errors import KitError
from kit.parameters import NOTEBOOKS, STEPS, Settings, check_all
from kit.run import Run
from kit.submission import check_submission, find_test_file, submission_path
from kit.system.machine import variables
from kit.workflow.notebook import execute_all
from kit.workflow.reports.allruns import write_index
from kit.workflow.reports.onerun import write_report

DEMO = {"data": "noisy-digits", "run": "demo"}  # without noise, one mistake of 359 images would be left to look at
# Half of the recipe's batch learns in two thirds of its epochs, and leaves 20 to 30 mistakes in most of the classes.
DEMO_TRAINING = {"recipe": "digits", "epochs": 8, "batch_size": 32}
# Threads wait for each other many times in a step of so small a network. On two cores that other work used as well, two
# threads trained 28 images/s and one trained 480; on idle cores the second one saves some seconds.
DEMO_THREADS = "1"


def run_notebooks(given: dict[str, Any]) -> Run:
    """Run explore, train, misclassification and submit with the given parameters, each with those that are its own.

    Args:
        given: parameters by name.

    Raises:
        KitError: a parameter is refused, before any work; or a notebook failed.
    """
    trained = Run(check_all(["train"], given)["train"].run)
    shared = given | {"run": str(trained.folder)}
    parameters = {name: {k: v for k, v in shared.items() if k in NOTEBOOKS[name]} for name in STEPS}
    settings = check_all(STEPS, shared)
    if other := settings["misclassification"].other:
        Run.load(other).check_unseen_validation(settings["train"].recipe)
    csv = _expected_csv(settings["submit"], trained)
    print(f"{', '.join(STEPS)}: each executed copy goes to {trained.folder}", flush=True)
    execute_all(list(STEPS), parameters, trained.folder)
    print(trained.summary())
    _report(trained)
    print(f"CSV for the competition: {csv}" if csv else "no CSV: the competition's test file was not found")
    return trained


def _report(trained: Run) -> None:
    """Write the pages; the results stand without them, so a page that fails costs one line."""
    try:
        print(f"to read or hand in: {write_report(trained)}")
        write_index()
    except Exception as error:
        print(f"no report ({type(error).__name__}: {error}); write it with: python -m kit report {trained.folder}")


def _expected_csv(settings: Settings, trained: Run) -> Path | None:
    """The CSV that the submit notebook will write, None if the competition's test file is not there.

    Raises:
        KitError: a test file is named that does not exist, or an upload is asked for and there is nothing to upload.
    """
    if find_test_file(settings.test_file, settings.data):
        return submission_path([trained])
    if settings.upload:
        raise KitError(
            "upload has nothing to send: the competition's test file was not found; run `python -m kit download` "
            "or give test_file"
        )
    return None


def demo() -> None:
    """All five notebooks on handwritten digits with noise, and a competition file made of the held-out digits.

    Raises:
        KitError: a notebook failed, or the CSV is not what Kaggle would take.
    """
    digits = load(DEMO["data"])
    trained, ids = Run(DEMO["run"]), torch.arange(len(digits.test_images))
    test_file = trained.folder / "digits_test.pkl"
    write_competition_test(test_file, digits.test_images, ids)
    parameters: dict[str, dict[str, Any]] = {
        "explore": {"data": DEMO["data"], "recipe": "digits"},
        "train": DEMO | DEMO_TRAINING | {"resume": False},
        "misclassification": DEMO,
        "submit": DEMO | {"test_file": str(test_file)},
    }
    print("five notebooks on handwritten digits with noise; each executed copy is yours to read", flush=True)
    with variables(OMP_NUM_THREADS=os.environ.get("OMP_NUM_THREADS") or DEMO_THREADS):
        execute_all([*STEPS, "ablation"], parameters, trained.folder)
    csv = submission_path([trained])
    table = check_submission(csv, ids=ids)
    print(trained.summary())
    _report(trained)
    print(f"{csv}: {len(table)} rows, {_accuracy(table, digits.test_labels):.2f} % of the labels are right")


def _accuracy(table: pd.DataFrame, labels: torch.Tensor) -> float:
    return 100 * (torch.tensor(table.iloc[:, 1].astype(int).tolist()) == labels).double().mean().item()
