"""The files of a run folder: what a training leaves there, and what of that other machines are given."""

from collections.abc import Mapping

WEIGHTS: Mapping[str, str] = {"last": "model.safetensors", "best": "best.safetensors"}
CHECKPOINT = "checkpoint.pt"
EARLIER_CHECKPOINT = "checkpoint.before.pt"
TRAINED = (
    "history.csv", "metrics.json", CHECKPOINT, EARLIER_CHECKPOINT, *WEIGHTS.values(), "config.json", "tracker.json",
)  # fmt: skip


def travels(name: str) -> bool:
    """Whether a file of a run folder is for other machines, too: no lock, no half a file, no earlier checkpoint."""
    return not name.startswith(".") and name != EARLIER_CHECKPOINT
