"""A sweep on a real Ray cluster of several nodes: it outlives what is killed, and its weights are the usual ones."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import sweep_copies

from kit.errors import KitError
from kit.run import Run
from kit.sweep import onray

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ray>=2.40'")
copy, start_sweep, wait_until = sweep_copies.copy, sweep_copies.start_sweep, sweep_copies.wait_until
pytestmark = [pytest.mark.ray, pytest.mark.slow]
STORE = 80 << 20  # bytes; Ray takes no less


@pytest.fixture(scope="module")
def cluster():
    """A head without cores and two nodes with one core each."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": STORE})
    made.nodes_to_kill = [made.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
    yield made
    made.shutdown()


def test_six_runs_outlive_a_killed_head_a_killed_node_and_a_stop(copy, cluster, digits):
    words = ["--rows", "digits,quick", "--seeds", "3", "--epochs", "2", "--jobs", "2", "--on", cluster.address]
    folders, output = sweep_copies.six_folders(copy), copy / "output.txt"
    process = start_sweep(copy, *words)
    wait_until(lambda: len(sweep_copies.finished(folders)) >= 1, process)
    os.killpg(process.pid, signal.SIGKILL)  # the head of the sweep
    process.wait()

    process = start_sweep(copy, *words)
    wait_until(lambda: output.read_text().count(": started on ") >= 2, process)
    cluster.remove_node(cluster.nodes_to_kill[0], allow_graceful=False)
    wait_until(lambda: "goes on elsewhere" in output.read_text(), process)
    cluster.add_node(num_cpus=1, object_store_memory=STORE)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(120) == 128 + signal.SIGTERM, output.read_text()
    assert "what had begun is saved; run the same command again to go on" in output.read_text()
    cut_off = [line for line in output.read_text().splitlines() if "goes on elsewhere" in line]
    for folder in folders:  # what was killed with its node may have died between its two files of an epoch
        if any(folder.name in line for line in cut_off) or folder in sweep_copies.finished(folders):
            continue
        if (folder / "history.csv").is_file():
            assert len(Run(folder).load_checkpoint()["rows"]) == len(Run(folder).history)
    sweep_copies.check_that_the_same_command_ends_it(copy, words, folders, 240, digits)


def test_a_node_that_does_not_see_the_folder_is_refused(cluster, tmp_path, monkeypatch):
    @contextmanager
    def elsewhere():
        yield tmp_path / "not there", "a word"

    monkeypatch.setattr(onray.cluster, "message_to_nodes", elsewhere)
    monkeypatch.setattr(onray, "_SIGHT_SECONDS", 0.1)
    try:
        with pytest.raises(KitError, match=r"the Ray node \S+ does not see the files of this machine: every machine"):
            onray.RayEngine(cluster.address, None)
    finally:
        ray.shutdown()


# --- three hosts, each with a network of its own

HOSTS = [f"10.77.0.{number}" for number in (1, 2, 3)]
NAMED = subprocess.run(["ip", "netns"], capture_output=True, text=True).stdout if shutil.which("ip") else ""


def on_host(number, *words, **environment):
    words = ["ip", "netns", "exec", f"kit-{number}", sys.executable, "-m", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"} | environment
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=240)


@pytest.fixture
def hosts(tmp_path):
    """A head and two nodes with one core each, started as their users would; the head asks for a token (Ray 2.60)."""
    token = tmp_path / "token"
    token.write_text("0123456789abcdef" * 4)
    shown = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    start = ["ray.scripts.scripts", "start", f"--object-store-memory={STORE}"]
    head = ["--head", "--port=6379", "--num-cpus=0", "--include-dashboard=false"]
    try:
        for number, address in enumerate(HOSTS, 1):
            role = head if number == 1 else [f"--address={HOSTS[0]}:6379", "--num-cpus=1"]
            began = on_host(number, *start, f"--node-ip-address={address}", *role, **shown)
            assert "Ray runtime started" in began.stdout + began.stderr, began.stderr
        yield token
    finally:
        on_host(1, "ray.scripts.scripts", "stop", "--force")


@pytest.mark.skipif(
    "kit-3" not in (NAMED or ""), reason="no three hosts here: tests/three_hosts.sh makes them, as root"
)
def test_three_hosts_share_a_sweep_if_the_token_is_shown(copy, hosts, tmp_path, monkeypatch):
    monkeypatch.chdir(copy)
    shutil.rmtree(copy / "runs", ignore_errors=True)
    sweep = ["kit", "sweep", *sweep_copies.TINY, "--rows", "digits", "--seeds", "2", "--epochs", "2", "--jobs", "2"]
    sweep += ["--on", f"{HOSTS[0]}:6379"]
    refused = on_host(1, *sweep, HOME=str(tmp_path), RAY_AUTH_TOKEN_PATH="")
    assert refused.returncode == 2 and f"the Ray cluster at {HOSTS[0]}:6379 asks for a token" in refused.stderr
    done = on_host(1, *sweep, RAY_AUTH_TOKEN_PATH=str(hosts))
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(f": started on {address}" in done.stdout for address in HOSTS[1:])
    assert done.stdout.count("mean %") == 1
