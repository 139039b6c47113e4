"""Training steps on the null GPU: a child process, with a list of scenarios as JSON in its one argument.

It prints one line `RESULT {...}` for each scenario. See `null_gpu.py` for what a child's environment needs.
"""

import contextlib
import io
import json
import os
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass
from unittest import mock

import torch
from null_gpu import Counts
from torch._inductor import metrics

from kit.model import norm
from kit.model.pooled import WhiteningStem
from kit.recipe import RECIPES
from kit.train.batches import Batches
from kit.train.learner import Learner

BATCH = 256  # eight steps to a chunk of augmentation
SETTLED = 20  # steps after which every kind of step was captured and is trusted
STEPS = 10  # that are counted


@dataclass
class Scenario:
    """What to run; a failure is ordered as in `Counts.fail_at`, in the numbered step."""

    row: str = "paper"
    compile: str = "off"  # "named": on, with a torch.compile that compiles nothing
    torchs_gradients: bool = False  # in compiled kernels too; see kit.model.norm
    amp: str = "auto"
    small: bool = True
    eager: bool = False
    changes: dict | None = None
    fail: str = ""  # "launch", "capture", "instantiate" or "replay"; "compiled" raises in the compiled function
    fail_in_step: int = 0
    fail_at_call: int = 1
    fault: str = ""  # a planted mistake: see FAULTS

    def recipe(self):
        recipe = RECIPES[self.row]
        if self.small:
            kind = "+pooled" if "pooled" in recipe.arch else "+se" if recipe.arch == "se" else ""
            recipe = recipe.replace(arch=f"8,16,16/1,1,{2 if kind == '+pooled' else 1}{kind}", batch_size=BATCH)
        return recipe.replace(**self.changes or {})


def make_the_host_wait(learner):
    learner.totals.sum().item()


def put_a_number_by_index(learner):
    learner.selection._seen[1, torch.zeros(2, dtype=torch.long, device="cuda")] = 1


def lose_the_graphs(learner):
    learner._stepper.forget()


FAULTS = {f.__name__: f for f in (make_the_host_wait, put_a_number_by_index, lose_the_graphs)}


def prepared(scenario: Scenario):
    """A learner on the null GPU, and the batches of an epoch."""
    recipe, device = scenario.recipe(), torch.device("cuda", 0)
    images = torch.zeros(34 * recipe.batch_size, 3, 32, 32, dtype=torch.uint8)
    batches = Batches(images, torch.zeros(len(images), dtype=torch.long), recipe, 10, device)
    named = scenario.compile == "named"
    with mock.patch("torch.compile", lambda function, **_: function) if named else contextlib.nullcontext():
        learner = Learner(recipe, 10, batches.selection.steps, device, scenario.amp,
                          "on" if named else scenario.compile, selection=batches.selection)  # fmt: skip
    if scenario.eager:
        learner._stepper.captures = False
    return learner, batches.epoch(0)


def run(scenario: Scenario, counts: Counts) -> dict:
    learner, epoch = prepared(scenario)
    began, said = time.perf_counter(), io.StringIO()
    metrics.reset()
    counts.reset()
    for step in range(1, SETTLED + 1):
        batch = next(epoch)
        with failing(scenario, learner, counts, step), contextlib.redirect_stdout(said):
            learner.step(*batch)
    return {
        "captured": learner.captured, "compiled": learner.compiled, "settled_in": time.perf_counter() - began,
        "said": said.getvalue(), "on_default_stream": torch.cuda.current_stream() == torch.cuda.default_stream(),
        "compiled_megabytes": metrics.num_bytes_accessed / 1e6,  # that the kernels of all graphs read and write
        "triton_kernels": sum(name.startswith("triton") for name in counts.names()),
        "graphs": torch._dynamo.utils.counters["stats"]["unique_graphs"] if scenario.compile == "on" else 0,
    } | counted(scenario, learner, epoch, counts)  # fmt: skip


@contextlib.contextmanager
def failing(scenario, learner, counts, step):
    """Within: what the scenario wants to fail in this step fails."""
    if step != scenario.fail_in_step:
        yield
    elif scenario.fail == "compiled":
        loss = learner._loss

        def fails(*_tensors):
            raise RuntimeError("no compiler\nand forty lines of trace")

        learner._loss = fails
        yield
        if learner._loss is fails:
            learner._loss = loss
    else:
        counts.fail_at(scenario.fail, scenario.fail_at_call)
        yield
        counts.fail_at(scenario.fail, 0)


def counted(scenario, learner, epoch, counts) -> dict:
    """Launches, graphs, nodes and waits of some steps, and the lines where torch's debug mode saw a wait."""
    fault = FAULTS.get(scenario.fault, lambda _learner: None)
    sums, names, lines = Counter(), Counter(), Counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        for _ in range(STEPS):
            batch = next(epoch)
            counts.reset()
            fault(learner)
            learner.step(*batch)
            sums.update(counts.totals())
            names.update(counts.names())
        torch.cuda.set_sync_debug_mode("default")
    for warning in caught:
        if "called a synchronizing" in str(warning.message):
            lines[f"{os.path.relpath(warning.filename)}:{warning.lineno}"] += 1
    return {name: sums[name] / STEPS for name in sums} | {"waits_at": dict(lines), "names": dict(names)}


def main() -> None:
    WhiteningStem.fit = lambda self, images: None  # cuSOLVER has no stand-in
    torch.set_num_threads(1)
    torch._logging.set_logs(inductor_metrics=True)  # inductor counts bytes only for its log
    counts, fuses = Counts(), norm.fuses
    for words in json.loads(sys.argv[1]):
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        scenario = Scenario(**words)
        norm.fuses = (lambda _x: False) if scenario.torchs_gradients else fuses
        try:
            result = run(scenario, counts)
        except Exception:
            result = {"error": traceback.format_exc()[-2000:]}
        print("RESULT", json.dumps(words | result), flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # torch's threads are not joined in an orderly exit without a driver
