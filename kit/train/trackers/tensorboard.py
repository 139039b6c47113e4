"""TensorBoard: event files in the run folder. `tensorboard --logdir runs` shows all runs."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from kit.train.trackers import Config


class Adapter:
    """A folder of event files; a resumed training adds a file to it."""

    def __init__(self, name: str, folder: Path, config: Config, id: str | None):
        self.id = id or f"{datetime.now():%Y-%m-%d-%H-%M-%S}"
        self._config = dict(config)
        self._writer = SummaryWriter(str(folder / "tensorboard" / self.id))
        if id is None:
            lines = [f"|{key}|{value}|" for key, value in config.items()]
            self._writer.add_text("config", "\n".join(["|setting|value|", "|---|---|", *lines]))

    def log(self, row: Mapping[str, float]) -> None:
        for key, value in row.items():
            self._writer.add_scalar(key, value, int(row["epoch"]))
        self._writer.flush()

    def figure(self, name: str, figure: Figure) -> None:
        self._writer.add_figure(name, figure, close=False)

    def finish(self, metrics: Mapping[str, float]) -> None:
        if metrics:
            final = {f"final/{key}": value for key, value in metrics.items()}
            self._writer.add_hparams(self._config, final, run_name=".")
        self._writer.close()
