"""torch's own CUDA code on a machine without a GPU: launches, CUDA graphs, waits, compilation, two processes."""

import json
import socket
import subprocess
import sys

import null_gpu
import pytest
from budget import BUDGETS, COMPILED_KERNELS, COMPILED_MEGABYTES
from kinds import different_rows

pytestmark = [
    pytest.mark.nullgpu,
    pytest.mark.slow,
    pytest.mark.skipif(null_gpu.missing() is not None, reason=str(null_gpu.missing())),
]

OTHERS = [
    {"row": "paper", "changes": {"optimizer": "nesterov", "ema": 0.9, "augment": "shift+alternate+randaugment"}},
    {"row": "paper", "changes": {"optimizer": "adamw", "lr": 0.001, "lookahead_k": 0, "erase": 0.5}},
    {"row": "paper", "changes": {"cutmix_alpha": 1.0, "augment": "reflect+flip+trivialaugment"}},
    {"row": "paper", "changes": {"regmixup_alpha": 10.0}},
    {"row": "quick", "changes": {"lookahead_k": 3}},
]


FAULTS = [
    {"row": "paper", "fault": "make_the_host_wait"},
    {"row": "quick", "fault": "put_a_number_by_index"},
    {"row": "paper", "fault": "lose_the_graphs"},
]
NO_CAPTURE = [  # in the warm-up, in a recording, at its end, in making it executable, in its first replays
    {"row": "paper", "fail": "launch", "fail_in_step": 2, "fail_at_call": 60},
    {"row": "t4", "amp": "fp16", "fail": "launch", "fail_in_step": 4, "fail_at_call": 60},
    {"row": "dropout-0.2", "fail": "capture", "fail_in_step": 4},
    {"row": "paper", "fail": "capture", "fail_in_step": 5},  # the end of Lookahead's cycle
    {"row": "lookahead-adam", "fail": "instantiate", "fail_in_step": 4},
    {"row": "paper", "fail": "replay", "fail_in_step": 4},
    {"row": "quick", "fail": "replay", "fail_in_step": 6},
]
NO_COMPILER = [{"compile": "named", "fail": "compiled", "fail_in_step": step} for step in (1, 2, 3)]
BF16_ON_T4 = {"row": "paper", "amp": "bf16"}
COMPILED, PLAIN = {"compile": "on"}, {}  # of one small network


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return null_gpu.build(tmp_path_factory.mktemp("null_gpu"))


@pytest.fixture(scope="session")
def outcome(library):
    """What came of a scenario on a null GPU of a compute capability; one child process runs all of a capability."""
    recipes, children = all_recipes() + OTHERS, {}
    plans = {
        "9.0": [*recipes, *FAULTS, *NO_CAPTURE, *NO_COMPILER, COMPILED, PLAIN],
        "8.0": [COMPILED, PLAIN],
        "7.5": [*recipes, BF16_ON_T4, COMPILED, PLAIN],
    }

    def of(scenario, capability="9.0"):
        plan = plans[capability]
        if capability not in children:
            children[capability] = steps(library, plan, capability)
        return children[capability][plan.index(scenario)]

    return of


def steps(library, scenarios, capability):
    words = [sys.executable, str(null_gpu.HERE / "null_steps.py"), json.dumps(scenarios)]
    environment, limits = null_gpu.environment(library, capability), null_gpu.limit_processor_time
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=null_gpu.SECONDS,
                          preexec_fn=limits)  # fmt: skip
    lines = [line.removeprefix("RESULT ") for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert done.returncode == 0 and len(lines) == len(scenarios), done.stdout + done.stderr
    return [json.loads(line) for line in lines]


def all_recipes():
    return [{"row": row, "small": row not in BUDGETS} for row in dict.fromkeys([*BUDGETS, *different_rows()])]


@pytest.mark.parametrize("capability", ["9.0", "7.5"])
@pytest.mark.parametrize("scenario", all_recipes() + OTHERS, ids=lambda s: "-".join([s["row"], *s.get("changes", {})]))
def test_a_recipe_is_replayed_within_its_budget_and_never_waits(outcome, scenario, capability):
    found = outcome(scenario, capability)
    assert "error" not in found, found["error"]
    assert found["waits_at"] == {} and found["waits"] == 0
    assert found["captured"] and found["graph_launches"] == 1 and found["said"] == ""
    assert found["allocations"] == found["captures"] == 0
    if not scenario.get("small", True):
        budget = BUDGETS[scenario["row"]]
        assert found["replayed_nodes"] <= budget.kernels[capability]
        assert found["launches"] <= budget.launches


def test_a_planted_fault_is_seen(outcome):
    wait, index, lost = map(outcome, FAULTS)
    for found in (wait, index):
        assert found["waits"] == 1 and sum(found["waits_at"].values()) == 10
        assert all("null_steps.py" in line for line in found["waits_at"])
    assert lost["graph_launches"] == 0 and lost["launches"] > 100


@pytest.mark.parametrize("scenario", NO_CAPTURE, ids=lambda s: f"{s['fail']}-in-step-{s['fail_in_step']}-{s['row']}")
def test_a_step_that_cannot_be_captured_is_done_by_the_host(outcome, scenario):
    found = outcome(scenario)
    assert "error" not in found, found["error"]
    assert not found["captured"] and found["graph_launches"] == 0 and found["waits"] == 0
    assert found["said"].startswith("a CUDA graph of the step failed") and found["said"].count("\n") == 1
    assert found["on_default_stream"]


@pytest.mark.parametrize("scenario", NO_COMPILER, ids=lambda s: f"call-{s['fail_in_step']}")
def test_a_compiler_that_fails_leaves_the_graphs(outcome, scenario):
    found = outcome(scenario)
    assert "error" not in found, found["error"]
    assert found["captured"] and not found["compiled"] and found["graph_launches"] == 1
    assert found["said"] == "torch.compile failed, so training goes on without it (RuntimeError: no compiler)\n"


def test_bfloat16_on_a_t4_is_refused(outcome):
    assert "amp bf16 needs a GPU of compute capability 8.0" in outcome(BF16_ON_T4, "7.5")["error"]


def test_two_ranks_train_without_waits(library):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = null_gpu.environment(library, "7.5", gpus=2)
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    words, children = [sys.executable, str(null_gpu.HERE / "null_ranks.py")], []
    try:
        for rank in ("0", "1"):
            ours = environment | {"RANK": rank, "LOCAL_RANK": rank}
            children.append(
                subprocess.Popen(words, env=ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
        said = [child.communicate(timeout=null_gpu.SECONDS) for child in children]
    finally:
        for child in children:
            child.kill()
    for rank, (out, err) in enumerate(said):
        assert "RESULT " in out, err
        found = json.loads(out.partition("RESULT ")[2])
        assert found["rank"] == found["device"] == rank and not found["captured"]
        assert found["waits"] == 0 and found["waits_at"] == {}
        assert found["names"]["nccl all-reduce"] >= 10  # once in every step, or more often


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["9.0", "8.0", "7.5"])
def test_compiled_kernels_are_replayed(outcome, capability):
    compiled, plain = outcome(COMPILED, capability), outcome(PLAIN, capability)
    assert "error" not in compiled, compiled["error"]
    assert compiled["compiled"] and compiled["captured"] and compiled["said"] == ""
    assert compiled["graph_launches"] == 1 and compiled["waits"] == 0
    assert compiled["graphs"] == 2  # of Dynamo: loss and totals, once each
    assert compiled["replayed_nodes"] <= COMPILED_KERNELS[capability]
    assert compiled["triton_kernels"] > 50 and plain["triton_kernels"] == 0
    # In float16 torch has cuDNN's BatchNorm, each pass of which counts as one kernel here; inductor makes two to four.
    share = 1 if capability == "7.5" else 0.8
    assert COMPILED_KERNELS[capability] < share * plain["replayed_nodes"]


def test_compiled_gradients_move_fewer_bytes_than_torchs(library):
    scenario = {"compile": "on", "small": False, "changes": {"arch": "64/2"}}
    ours, torchs = steps(library, [scenario, scenario | {"torchs_gradients": True}], "9.0")
    for found in (ours, torchs):
        assert "error" not in found, found["error"]
        assert found["compiled"] and found["captured"] and found["said"] == ""
    assert ours["compiled_megabytes"] <= COMPILED_MEGABYTES < 0.9 * torchs["compiled_megabytes"]
    assert ours["replayed_nodes"] <= torchs["replayed_nodes"]
