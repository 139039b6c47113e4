"""Weights & Biases. WANDB_PROJECT names the project, WANDB_MODE=offline needs no network and no login."""

import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import wandb
from matplotlib.figure import Figure

from kit.train.trackers import Config

INIT_SECONDS = 30  # without an answer of the server


class Adapter:
    """A run of the project; offline, `wandb sync` joins the sessions of one run by its id."""

    def __init__(self, name: str, folder: Path, config: Config, id: str | None):
        if os.environ.get("WANDB_MODE", "online") == "online" and not wandb.api.api_key:
            raise PermissionError("nobody is logged in: type `wandb login`, or set WANDB_MODE=offline")
        settings = wandb.Settings(silent=True, console="off", init_timeout=INIT_SECONDS)
        project = os.environ.get("WANDB_PROJECT") or "cifar10-kit"
        self.id = id or uuid.uuid4().hex[:8]
        self._run = wandb.init(project=project, name=name, id=self.id, resume="allow" if id else None, dir=str(folder),
                               config=dict(config), settings=settings)  # fmt: skip
        self._run.define_metric("*", step_metric="epoch")

    def log(self, row: Mapping[str, float]) -> None:
        self._run.log(dict(row), step=int(row["epoch"]), commit=True)  # steps of sessions that are joined later

    def figure(self, name: str, figure: Figure) -> None:
        self._run.log({name: wandb.Image(figure)})

    def finish(self, metrics: Mapping[str, float]) -> None:
        self._run.summary.update({f"final/{key}": value for key, value in metrics.items()})
        self._run.finish()
