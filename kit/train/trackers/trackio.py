"""Trackio: a local database, shown by `trackio show`. TRACKIO_SPACE_ID sends runs to a Hugging Face Space."""

import io
import os
import uuid
from collections.abc import Mapping
from pathlib import Path

import trackio
from matplotlib.figure import Figure
from PIL import Image

from kit.train.trackers import Config


class Adapter:
    """A run of the project, which Trackio knows by its name."""

    def __init__(self, name: str, folder: Path, config: Config, id: str | None):
        self.id = id or f"{name}-{uuid.uuid4().hex[:6]}"
        project = os.environ.get("TRACKIO_PROJECT") or "cifar10-kit"
        self._run = trackio.init(project=project, name=self.id, config=dict(config), resume="allow", embed=False,
                                 space_id=os.environ.get("TRACKIO_SPACE_ID"))  # fmt: skip

    def log(self, row: Mapping[str, float]) -> None:
        self._run.log(dict(row), step=int(row["epoch"]))

    def figure(self, name: str, figure: Figure) -> None:
        picture = io.BytesIO()
        figure.savefig(picture, format="png")
        self._run.log({name: trackio.Image(Image.open(picture))})

    def finish(self, metrics: Mapping[str, float]) -> None:
        if metrics:
            self._run.log({f"final/{key}": value for key, value in metrics.items()})
        self._run.finish()
