"""MLflow: files in runs/mlruns, or the server that MLFLOW_TRACKING_URI names.

`MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri runs/mlruns` shows the files.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from kit.train.trackers import Config


class Adapter:
    """A run of an experiment, through a client that keeps no state of its own in the process."""

    def __init__(self, name: str, folder: Path, config: Config, id: str | None):
        uri = os.environ.get("MLFLOW_TRACKING_URI") or (folder.parent / "mlruns").absolute().as_uri()
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask for it
        self._client = MlflowClient(uri)
        if id:
            self.id = id
            self._client.update_run(id, status="RUNNING")
            return
        experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "cifar10-kit"
        known = self._client.get_experiment_by_name(experiment)
        experiment_id = known.experiment_id if known else self._client.create_experiment(experiment)
        self.id = self._client.create_run(experiment_id, run_name=name).info.run_id
        self._client.log_batch(self.id, params=[Param(key, str(value)) for key, value in config.items()])

    def log(self, row: Mapping[str, float]) -> None:
        self._send(row, int(row["epoch"]))

    def figure(self, name: str, figure: Figure) -> None:
        self._client.log_figure(self.id, figure, f"{name}.png")

    def finish(self, metrics: Mapping[str, float]) -> None:
        self._send({f"final/{key}": value for key, value in metrics.items()}, 0)
        self._client.set_terminated(self.id, "FINISHED" if metrics else "KILLED")

    def _send(self, values: Mapping[str, float], step: int) -> None:
        now = int(1000 * time.time())
        self._client.log_batch(self.id, [Metric(key, value, now, step) for key, value in values.items()])
