"""Sweeps: `python -m kit sweep --table 1 --seeds 3` trains every row with every seed, and goes on where it was cut."""

import os
from collections.abc import Iterator
from contextlib import closing

import pandas as pd
import torch

from kit.ablation import LAST, figures_of
from kit.data import load
from kit.errors import KitError
from kit.sweep.engines import open_engine
from kit.sweep.places import run_jobs
from kit.sweep.plan import Sweep, planned
from kit.sweep.progress import Progress
from kit.sweep.request import LOCAL, SLURM, Request
from kit.system.interrupt import Stopped, StopRequest
from kit.system.paths import EMBEDDED
from kit.system.precision import precision
from kit.system.progress import Board
from kit.workflow import notebook_path


def run(request: Request) -> None:
    """Run, list or push the sweep that was asked for.

    Raises:
        KitError: something was refused before anything started, or runs failed, told after all others have ended.
        Stopped: SIGTERM or SIGINT came; every run at work has saved.
    """
    sweep = planned(request)
    print(request.heading, flush=True)
    if request.push:
        push(sweep)
    elif request.dry_run:
        print("\n".join(plan_in_words(sweep)))
        if request.place == SLURM:
            from kit.sweep.onslurm import SlurmEngine

            print(f"\n{SlurmEngine(request.jobs, request.slurm).script(len(sweep.unfinished))}")
    else:
        train_all(sweep)


def train_all(sweep: Sweep) -> None:
    """Train what is unfinished, whatever fails, and print the table of all runs.

    Raises:
        KitError: runs failed; the sentence names them.
        Stopped: as in `run`.
    """
    notebook_path("train")
    gpus, request = devices(), sweep.request
    if sweep.unfinished:
        if not gpus and request.place == LOCAL:
            precision(torch.device("cpu"), request.settings.amp)
        load(request.settings.data)  # once for all: what is missing is told, downloaded or decoded before they start
    place = request.place if sweep.unfinished else LOCAL  # nothing to do needs no cluster
    engine = open_engine(place, request.jobs, request.slurm, gpus)
    with closing(engine), StopRequest(request.settings.hours) as stop, Board() as board:
        progress = Progress(sweep, engine.at_once, stop)
        print(progress.beginning(engine.beginning()), flush=True)
        run_jobs(progress.jobs(), engine, stop, progress.began, progress.ended, lambda: board.show(progress.states))
    print(table_in_words(sweep))
    for name, reason in progress.failures.items():
        print(f"failed: {name}: {reason}")
    if sweep.unfinished and stop.reason:
        saved = "what had begun is saved; run the same command again to go on"
        message = f"stopped by {stop.reason}: {progress.count()}, {saved}"
        if stop.signum is not None:
            raise Stopped(message, stop.signum)
        print(message)
    if progress.failures:
        raise KitError(f"{len(progress.failures)} of {len(sweep.trials)} runs failed, for the reasons above")


def table(sweep: Sweep) -> pd.DataFrame:
    """One table row per recipe: mean and standard deviation (n - 1) over its seeds of the last epoch's accuracy in %.

    Beside it the mean of the best epoch's, which was chosen on the same validation images.
    """
    rows = []
    for experiment in sweep.request.experiments:
        figures = figures_of([t.run for t in sweep.trials if t.experiment == experiment and t.finished])
        columns = {"n": "n", "mean %": LAST, "sd": "sd", "best epoch %": "best epoch (%)"}
        shown = {name: figures[column] for name, column in columns.items()}
        shown |= {"paper %": experiment.paper_accuracy} | {name: figures[name] for name in ("parameters", "minutes")}
        rows.append({"row": experiment.row, "label": experiment.label} | shown)
    return pd.DataFrame(rows).set_index("row")


def table_in_words(sweep: Sweep) -> str:
    """The table as text below a line that says what the figures are."""
    percents = dict.fromkeys(("mean %", "sd", "best epoch %", "paper %"), "{:.2f}")
    formats = percents | {"parameters": "{:,.0f}", "minutes": "{:.1f}"}
    frame = table(sweep)
    for name, form in formats.items():
        frame[name] = ["" if pd.isna(value) else form.format(value) for value in frame[name]]
    splits = " and ".join(dict.fromkeys(trial.recipe.split for trial in sweep.trials))
    words = (
        f"last epoch on the validation images of the {splits} split, beside the best epoch, chosen on these same "
        "images: means over n seeds; minutes of one run"
    )
    if (frame["paper %"] == "").all():
        frame = frame.drop(columns="paper %")
    else:
        words += "; the paper's figures: full scale, best epoch"
    if (frame["label"] == frame.index).all():
        frame = frame.drop(columns="label")
    return f"\n{sweep.request.heading}\n{words}\n{frame.rename_axis(None).to_string()}"


def push(sweep: Sweep) -> None:
    """Send every unfinished run to Kaggle as a kernel of its own; what is begun here goes on there.

    Raises:
        KitError: a name is too long for Kaggle, the data is only here, or a folder holds another recipe's run, told
            before anything is sent; or Kaggle refuses one, which ends the sending, as it takes few kernels at a time.
    """
    from kit import competition as kaggle

    request, settings, unfinished = sweep.request, sweep.request.settings, sweep.unfinished
    if settings.data not in ("auto", *EMBEDDED):
        raise KitError(f"a kernel does not see data {settings.data!r} of this machine: leave --data out")
    if conflicts := list(sweep.conflicts.values()):
        raise KitError(conflicts[0])
    shared = {"data": settings.data, "amp": settings.amp, "compile": settings.compile, "max_hours": settings.max_hours}
    begun = {trial.name: trial.name if trial.run.checkpoint_path.is_file() else None for trial in unfinished}
    for name, checkpoint in begun.items():
        kaggle.kernel_slug(f"kit-run-{name}" if checkpoint else f"kit-{name}")
    for sent, trial in enumerate(unfinished):
        try:
            kaggle.push(["train"], trial.parameters() | shared, resume_run=begun[trial.name],
                        slug=request.competition, dry_run=request.dry_run)  # fmt: skip
        except KitError as error:
            raise KitError(f"{sent} of {len(unfinished)} runs sent, then: {error}; pull those when they have ended, "
                           "and the same command sends what is left") from None  # fmt: skip
    print(f"{len(unfinished)} runs {'written' if request.dry_run else 'sent'}")


def devices() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that this process may use; empty on a CPU."""
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    return visible.split(",")[:count]


def plan_in_words(sweep: Sweep) -> Iterator[str]:
    """The lines of a dry run: one a run, with what there is of it and what its recipe changes of the paper's."""
    width = max(len(trial.name) for trial in sweep.trials)
    for trial in sweep.trials:
        yield f"{trial.name:{width}}  {trial.state:10}  {trial.differences()}"
    yield f"{len(sweep.trials)} runs, {len(sweep.unfinished)} of them to do"
