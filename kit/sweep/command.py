"""`python -m kit sweep`: its options, read without torch."""

from argparse import SUPPRESS, ArgumentParser, Namespace

from kit import parameters
from kit.ablation import TABLES
from kit.parameters import NOTEBOOKS
from kit.sweep.request import SHARED, read_request


def add_options(parser: ArgumentParser) -> None:
    """Add the options of `sweep`: its rows, its seeds, how they run, and the parameters that all runs share."""
    rows = parser.add_argument_group("which runs", "every row with every seed, each a run of its own")
    rows.add_argument("--table", help=f"a table of the paper: {', '.join(TABLES)}")
    rows.add_argument("--rows", help="recipes, such as paper,sgd,adam (`python -m kit recipes` lists them)")
    rows.add_argument("--seeds", help="n for the seeds 1 to n, or seeds such as 1,2,5; one alone as 7, (default: 1)")
    rows.add_argument("--arch-scale", metavar="VALUE", help="factor on every layer's channels (default: 1)")
    place = parser.add_argument_group("where they run")
    place.add_argument("--on", metavar="PLACE", help="local (default), ray, ray://HEAD:10001, HEAD:PORT, or slurm")
    place.add_argument("--jobs", metavar="N", help="runs at once (default: one per GPU, or one per machine without)")
    place.add_argument("--keep", action="store_true", help="copy the records of finished runs to notebooks/results/")
    place.add_argument("--push", action="store_true", help="send what is unfinished to Kaggle")
    place.add_argument("--dry-run", action="store_true", help="list what would run, and start nothing")
    place.add_argument("--competition", help="whose data a pushed sweep gets, if not the usual one")
    slurm = parser.add_argument_group("on Slurm", "one array job, one run per task; see .github/CLUSTERS.md")
    slurm.add_argument("--slurm-partition", metavar="NAME", help="the partition")
    slurm.add_argument("--slurm-account", metavar="NAME", help="who pays")
    slurm.add_argument("--slurm-time", metavar="TIME", help="limit of a turn; then a task saves and requeues (4:00:00)")
    slurm.add_argument("--slurm-gpu", metavar="KIND", help="kind of GPU such as a100, any (default), or none")
    slurm.add_argument("--slurm-cpus", metavar="N", help="CPU cores per run (default: 4)")
    slurm.add_argument("--slurm-set", metavar="NAME=VALUE", action="append", help="any other option of sbatch")
    parameters.add_options(parser, names=SHARED)
    for name in (name for name in NOTEBOOKS["train"] if name not in SHARED):
        parser.add_argument(f"--{name}", help=SUPPRESS)  # the plan refuses them, and says what to write instead


def run_command(options: Namespace) -> None:
    """Run, list or push the sweep that the command line asks for.

    Raises:
        KitError: something is refused before any run starts, or runs failed.
        Stopped: SIGTERM or SIGINT came; every run at work has saved.
    """
    request = read_request(options)  # what is refused here is refused before torch is imported
    from kit.sweep.running import run

    run(request)
