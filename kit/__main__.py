"""The command line: `python -m kit demo | run | bench | download | submit | scores | push | pull`."""

import argparse
import sys
from collections.abc import Sequence

from kit.errors import KitError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 where it worked, 2 with one sentence on stderr where it could not."""
    options = build_parser().parse_args(arguments)
    try:
        options.command(options)
    except KitError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    from kit import bench, parameters

    parser = argparse.ArgumentParser(prog="python -m kit", description="CIFAR-10, from images to a checked Kaggle CSV")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name, command, text):
        sub = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        sub.set_defaults(command=command)
        return sub

    add("demo", _demo, "the five notebooks end to end on embedded digits, without network")
    sub = add("run", _run, "explore, train, misclassification and submit on CIFAR-10")
    sub.add_argument("--list", action="store_true", help="list the recipes and end")
    parameters.add_options(sub, "train", "submit")
    sub = add("bench", bench.run, "images a second of this machine, beside the paper's own way of training")
    bench.add_options(sub)
    return parser


def _demo(_options: argparse.Namespace) -> None:
    from kit.workflow import demo

    demo()


def _run(options: argparse.Namespace) -> None:
    from kit.recipe import RECIPES
    from kit.workflow import run_notebooks

    if options.list:
        for name, recipe in RECIPES.items():
            print(f"{name:24} {recipe.arch}, {recipe.epochs} epochs, {recipe.optimizer}, {recipe.augment}")
        return
    run_notebooks({k: v for k, v in vars(options).items() if k not in ("command", "list")})


if __name__ == "__main__":
    sys.exit(main())
