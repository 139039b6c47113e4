"""The jobs of a sweep on a Ray cluster: one actor per job holds a GPU, or a share of the CPU cores, and starts the job.

Ray places the actors, restarts nothing, and shows them in its dashboard. A plain Ray task would not do: Ray ends a
cancelled task without SIGTERM, so that nothing is saved. If a node dies, its jobs start again elsewhere and go on
from their checkpoints.
"""

import math
import os
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.sweep import cluster, raynode
from kit.sweep.jobs import Job
from kit.sweep.places import State, Work

INSTALL = "pip install 'ray>=2.40'"
_ANSWER_SECONDS = 60.0  # in which every node has to see the folder
_SIGHT_SECONDS = 20.0  # in which a slow file system shows a new file
_TRIES = 3  # of a job that dies with its node again and again, without a new checkpoint in between


class RayEngine:
    """A Ray cluster.

    Args:
        address: `ray` for the cluster of this machine, or a new one on this machine alone; or `ray://HEAD:10001`, or
            HEAD:PORT.
        jobs: how many jobs at once; None is one per GPU, or one per node without GPUs.

    Raises:
        KitError: Ray is not installed, the address does not answer, or a node does not share the folder.
    """

    poll_seconds = 0.5

    def __init__(self, address: str, jobs: int | None):
        self._ray, self.dashboard = _connected(address)
        nodes = _checked_nodes(self._ray)
        gpus = sum(int(_of(node, "GPU")) for node in nodes)
        self.at_once = jobs or gpus or len(nodes)
        self._needs = needs(self.at_once, nodes)
        self._nodes, self._gpus, self._works = len(nodes), gpus, list[_RayWork]()

    def beginning(self) -> str:
        """The size of the cluster, what a job gets of it, and where Ray shows it."""
        shown = f"; http://{self.dashboard}" if self.dashboard else ""
        cores = f"threads each: {cluster.threads(int(self._needs['num_cpus']), os.environ)}"
        return f"Ray nodes: {self._nodes}, GPUs: {self._gpus}, {cores}{shown}"

    def take(self, jobs: Sequence[Job]) -> list[Work]:
        """Hand over as many jobs as there is room for; Ray chooses the nodes."""
        self._works = [work for work in self._works if work.state() is not State.ENDED]
        taken = [_RayWork(self._ray, job, self._needs) for job in jobs[: self.at_once - len(self._works)]]
        self._works += taken
        return list[Work](taken)

    def close(self) -> None:
        """Leave the cluster."""
        self._ray.shutdown()


class _RayWork:
    """A job in an actor."""

    def __init__(self, ray: Any, job: Job, needs: Mapping[str, float]):
        self.job, self.where = job, ""
        self._ray, self._needs = ray, needs
        self._stopped, self._ended = False, False
        self._failure: str | None = None
        self._lost, self._checkpoint = 0, job.saved
        self._begin()

    def _begin(self) -> None:
        runner = self._ray.remote(raynode.Runner).options(max_concurrency=4, **self._needs)
        changes = cluster.environment()
        changes["OMP_NUM_THREADS"] = cluster.threads(int(self._needs["num_cpus"]), changes)
        self._actor = runner.remote()
        self._place = self._actor.where.remote()
        self._code = self._actor.run.remote(self.job.words, str(self.job.log), changes, os.getcwd())

    def state(self) -> State:
        if self._ended:
            return State.ENDED
        if self._ray.wait([self._code], timeout=0)[0]:
            return self._end()
        if not self.where and self._ray.wait([self._place], timeout=0)[0]:
            try:
                self.where = self._ray.get(self._place)
            except self._ray.exceptions.RayError:
                return State.WAITING  # it was lost; the next call sees it
        return State.RUNNING if self.where else State.WAITING

    def _end(self) -> State:
        try:
            self._failure = self.job.failure(self._ray.get(self._code))
        except self._ray.exceptions.RayError as error:
            if self._may_start_again():
                print(f"{self.job.name}: lost with its process on {self.where}, goes on elsewhere", flush=True)
                self.where = ""
                self._begin()
                return State.WAITING
            self._failure = f"Ray lost it {self._lost} times ({str(error).splitlines()[0][:200]})"
        self._ended = True
        self._ray.kill(self._actor)
        return State.ENDED

    def _may_start_again(self) -> bool:
        """Whether a lost job starts again: not if it was lost too often without a new checkpoint."""
        before, self._checkpoint = self._checkpoint, self.job.saved
        self._lost = self._lost + 1 if self._checkpoint == before else 1
        return not self._stopped and self._lost < _TRIES

    def stop(self) -> None:
        self._stopped = True
        if self.state() is State.RUNNING:
            self._actor.stop.remote()
        else:
            self._ray.kill(self._actor)

    def kill(self) -> None:
        self._actor.stop.remote(signal.SIGKILL)
        time.sleep(0.1)  # for the message to leave this process, which ends next

    def failure(self) -> str | None:
        return self._failure


def needs(at_once: int, nodes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What one actor reserves, so that `at_once` of them share the nodes evenly.

    Args:
        at_once: jobs at once.
        nodes: what `ray.nodes()` says of each; `Resources` holds the numbers of its CPU cores and GPUs.

    Returns:
        `num_cpus`, a whole number from 1, and `num_gpus`, below 1 if jobs share a GPU and 0 without GPUs.
    """
    sizes = [(int(_of(node, "CPU")), int(_of(node, "GPU"))) for node in nodes]
    gpus = sum(count for _, count in sizes)
    if not gpus:
        per_node = math.ceil(at_once / len(nodes))
        return {"num_cpus": max(min(cores for cores, _ in sizes) // per_node, 1), "num_gpus": 0}
    per_gpu = math.ceil(at_once / gpus)
    cores = min(cores // (count * per_gpu) for cores, count in sizes if count)
    return {"num_cpus": max(cores, 1), "num_gpus": math.floor(1000 / per_gpu) / 1000}


def _ids(nodes: Sequence[Mapping[str, Any]]) -> set[str]:
    return {node["NodeID"] for node in nodes}


def _of(node: Mapping[str, Any], resource: str) -> float:
    """How much of a resource a node offers; heads often offer no CPU cores."""
    return node["Resources"].get(resource, 0)


def _show_token() -> None:
    """Let Ray show the cluster the token that lies here: heads ask for it since Ray 2.60, and clients do not show it.

    A cluster without tokens takes no notice.
    """
    kept = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    if os.environ.get("RAY_AUTH_TOKEN") or Path(kept).is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _wants_token(error: BaseException | None) -> bool:
    """Whether a cluster refused because of the token, by the error or one that it came from."""
    return error is not None and (
        "AuthenticationError" in f"{type(error)} {error}" or _wants_token(error.__cause__ or error.__context__)
    )


def _connected(address: str) -> tuple[Any, str | None]:
    """Ray, connected to the cluster, and the address of its dashboard."""
    _show_token()
    try:
        import ray
    except ImportError:
        raise KitError(f"--on ray needs Ray, which is not installed here: type `{INSTALL}`, on every node") from None
    ray.cloudpickle.register_pickle_by_value(raynode)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "error", "ignore_reinit_error": True}
    try:
        if address != "ray":
            return ray, ray.init(address, **options).dashboard_url
        try:
            return ray, ray.init("auto", **options).dashboard_url
        except ConnectionError:
            return ray, ray.init(**options).dashboard_url
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        if _wants_token(error):
            raise KitError(
                f"the Ray cluster at {address} asks for a token: copy ~/.ray/auth_token of its head to this machine, "
                "and start every node with RAY_AUTH_MODE=token"
            ) from None
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise KitError(
            f"no Ray cluster answers at {address} ({reason}): start one there with `ray start --head`, or write "
            "--on ray for this machine alone"
        ) from None


def _nodes(ray: Any) -> list[Mapping[str, Any]]:
    """The nodes to work on, as far as Ray knows: it notices only after half a minute that one has died."""
    nodes = [node for node in ray.nodes() if node["Alive"] and _of(node, "CPU") + _of(node, "GPU")]
    if not nodes:
        raise KitError("the Ray cluster has no node with CPU cores or GPUs: add one, `ray start --address=HEAD:6379`")
    return nodes


def _checked_nodes(ray: Any) -> list[Mapping[str, Any]]:
    """The nodes to work on, after every one has read what this machine wrote, and answered in the same folder.

    Raises:
        KitError: there is no node to work on, or one does not see the folder or does not answer in time.
    """
    nodes = _nodes(ray)
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with cluster.message_to_nodes() as (path, word):
        asked = {}
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            look = ray.remote(raynode.answer).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
            asked[look.remote(str(path), node["NodeID"], _SIGHT_SECONDS)] = node
        done, late = ray.wait(list(asked), num_returns=len(asked), timeout=_ANSWER_SECONDS)
        for reference in [*late, *done]:
            node, name = asked[reference], f"the Ray node {asked[reference]['NodeManagerAddress']}"
            if reference in late:
                raise KitError(cluster.not_shared(name, f"did not answer within {_ANSWER_SECONDS:.0f} seconds"))
            try:
                seen = ray.get(reference) == word and path.with_name(f"{path.name}-{node['NodeID']}").is_file()
            except ray.exceptions.RayError:
                seen = False
            if not seen and node["NodeID"] in _ids(_nodes(ray)):
                raise KitError(cluster.not_shared(name, "does not see the files of this machine"))
    alive = _ids(_nodes(ray))  # not one that had died before it was asked
    return [node for node in nodes if node["NodeID"] in alive]
