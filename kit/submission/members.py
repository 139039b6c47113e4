"""The runs that predict together: their networks, and what they are in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # this room is imported without torch, so that the command line answers at once
    from kit.model import ResNet
    from kit.run import Run


def networks_of(runs: "Sequence[Run]", weights: str) -> "list[ResNet]":
    """The networks of the runs, each checked against the competition's budget.

    Args:
        runs: one run, or those to average.
        weights: `last` or `best`.

    Raises:
        KitError: weights are missing or damaged, or a network has more parameters than the competition allows.
    """
    from kit.model import check_budget

    networks = [run.model(weights) for run in runs]
    for network in networks:
        check_budget(network)
    return networks


def summary_of(runs: "Sequence[Run]") -> str:
    """Folder, accuracy and number of parameters of each run."""
    return "\n\n".join(f"{run.folder}\n{run.summary()}" for run in runs)
