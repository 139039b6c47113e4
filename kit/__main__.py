"""The command line, `python -m kit`: demo, run, sweep, recipes, report, bench, and the Kaggle side.

Help, the list of recipes and a refused parameter answer without torch: a command imports what it needs.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Sequence

from kit import bench, parameters, sweep
from kit.errors import KitError
from kit.parameters import STEPS
from kit.system import progress
from kit.system.interrupt import Stopped

SWEEP_OPTIONS = ("--table", "--rows", "--seeds", "--arch-scale", "--jobs", "--keep", "--push", "--dry-run")
Command = Callable[[argparse.Namespace], None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 2 with one sentence on stderr where it could not."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = build_parser()
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    try:
        _refuse_old_spelling(arguments)
        options = parser.parse_args(arguments)
        if options.quiet:
            os.environ[progress.QUIET] = "1"  # for the notebooks that this process starts, too
        options.command(options)
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return 128 + stopped.signum
    except BrokenPipeError:  # whoever read the output, such as `head`, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    parser = argparse.ArgumentParser(prog="python -m kit", description="CIFAR-10, from images to a checked Kaggle CSV")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.add_argument("--quiet", action="store_true", help="show no progress")
        sub.set_defaults(command=command)
        return sub

    add("demo", _demo, "the five notebooks end to end on embedded digits, without network")
    parameters.add_options(add("run", _run, "explore, train, misclassification and submit on CIFAR-10"), *STEPS)
    sweep.add_options(add("sweep", sweep.run_command, "many trainings: the rows of a table, or recipes, times seeds"))
    recipes = add("recipes", _recipes, "the list of recipes and architectures, or all values of one recipe")
    recipes.add_argument("name", nargs="?", help="the recipe to show")
    report = add("report", _report, "one HTML page for a run, and one for all runs, that need no network")
    report.add_argument("runs", nargs="*", metavar="RUN", help="names of runs (default: the one that was started last)")
    bench.add_options(add("bench", bench.run, "images per second, beside the paper's own way of training"))
    _add_kaggle_options(add)
    return parser


def _add_kaggle_options(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    sub = add("download", _download, "the competition's files, to where `data auto` finds them")
    sub.add_argument("--folder", help="where they go (default: data/)")
    submit = add("submit", _submit, "check a CSV, upload it, wait for its score, and record it")
    submit.add_argument("file", help="the CSV")
    submit.add_argument("-m", "--message", required=True, help="the description that Kaggle shows beside the score")
    submit.add_argument("--header", default="ID,Labels", help="the CSV's header (default: ID,Labels)")
    submit.add_argument("--no-wait", action="store_true", help="do not wait for the score")
    scores = add("scores", _scores, "fetch the scores of all submissions and draw expected against real")
    push = add("push", _push, "run train and submit on Kaggle's GPUs, the kit travelling along")
    push.add_argument("--name", help="name of the kernel (default: kit-<run>)")
    push.add_argument("--resume_kernel", help="an earlier kernel whose run goes on")
    push.add_argument("--resume_run", help="a run of this machine that goes on there")
    push.add_argument("--dry-run", action="store_true", help="write the kernel's folder and send nothing")
    parameters.add_options(push, "train", "submit")
    pull = add("pull", _pull, "follow a kernel to its end and bring back its run, notebook and CSV")
    pull.add_argument("kernel", nargs="?", help="slug or owner/slug (default: the one pushed last)")
    pull.add_argument("--no-wait", action="store_true", help="bring back what there is")
    _add_pack_options(add)
    for command in (sub, submit, scores, push):
        command.add_argument("--competition", help="its slug, if not the usual one")


def _add_pack_options(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    pack = add("pack", _pack, "put all that made a CSV into one zip: kit, weights, CSV, notebooks, versions, hashes")
    pack.add_argument("run", help="a run with a CSV in submissions/, or several joined by commas")
    pack.add_argument("--output", help="the zip (default: build/packs/<run>.zip)")
    verify = add("verify", _verify, "predict again with the code in a pack, and compare the CSV byte for byte")
    verify.add_argument("pack", help="the zip, or the folder that it was unpacked to")
    for command in (pack, verify):
        command.add_argument("--test_file", default="auto", help="the competition's test file (default: auto)")


def _pack(options: argparse.Namespace) -> None:
    from kit.pack import pack

    pack(options.run, options.output, options.test_file)


def _verify(options: argparse.Namespace) -> None:
    from kit.pack import verify

    if not verify(options.pack, options.test_file):
        raise KitError("the CSV is not the same; see above")


def _report(options: argparse.Namespace) -> None:
    from kit.run import Run
    from kit.workflow import write_index, write_report

    for name in options.runs or [""]:
        print(write_report(Run.load(name)))
    print(write_index())


def _demo(_options: argparse.Namespace) -> None:
    from kit.workflow import demo

    demo()


def _run(options: argparse.Namespace) -> None:
    given = parameters.given(options)
    parameters.check_all(STEPS, given)  # what is refused is refused before torch is imported
    from kit.workflow import run_notebooks

    run_notebooks(given)


def _recipes(options: argparse.Namespace) -> None:
    from kit.workflow import print_recipe, print_recipes

    if options.name is None:
        print_recipes()
    else:
        print_recipe(options.name)


def _refuse_old_spelling(arguments: Sequence[str]) -> None:
    """Name the command that took over an option of `run`.

    Raises:
        KitError: `run` is given an option of `sweep` or `recipes`.
    """
    options = [word.partition("=")[0] for word in arguments] if arguments[0] == "run" else []
    if "--list" in options:
        raise KitError("run lists no recipes: write `python -m kit recipes`")
    if option := next((name for name in SWEEP_OPTIONS if name in options), None):
        instead = shlex.join(["python", "-m", "kit", "sweep", *arguments[1:]])
        raise KitError(f"{option} is an option of sweep, run trains one recipe: write `{instead}`")


def _download(options: argparse.Namespace) -> None:
    from kit import competition

    competition.download(options.competition, options.folder)


def _submit(options: argparse.Namespace) -> None:
    from kit import competition
    from kit.rules import parse_header

    header = parse_header(options.header)
    competition.submit(options.file, options.message, options.competition, wait=not options.no_wait, header=header)


def _scores(options: argparse.Namespace) -> None:
    from kit import competition

    competition.scores(options.competition)


def _push(options: argparse.Namespace) -> None:
    given = parameters.given(options)
    parameters.check_all(("train", "submit"), given)
    from kit import competition

    competition.push(
        parameters=given,
        name=options.name,
        resume_kernel=options.resume_kernel,
        resume_run=options.resume_run,
        slug=options.competition,
        dry_run=options.dry_run,
    )


def _pull(options: argparse.Namespace) -> None:
    from kit import competition

    competition.pull(options.kernel, wait=not options.no_wait)


if __name__ == "__main__":
    sys.exit(main())
