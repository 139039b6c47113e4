"""`python -m kit bench`: images per second of this machine, beside the paper's own way, or predicted for other GPUs."""

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import Any

from kit.parameters import BenchSettings
from kit.recipe import recipe_named
from kit.rules import rules_of

PREDICTED = ("paper", "t4", "quick", "hour", "evening", "leaderboard")  # recipes that --predict shows if it names none


def add_options(parser: ArgumentParser) -> None:
    """Add an option for every setting of the benchmark."""
    defaults = BenchSettings()
    for name, rule in rules_of(BenchSettings).items():
        text = f"{rule.meaning}; {rule.allowed()} (default: {getattr(defaults, name)!r})"
        parser.add_argument(f"--{name}", metavar="VALUE", default=getattr(defaults, name), help=text)
    parser.add_argument(
        "--predict", nargs="*", metavar="RECIPE",
        help="measure nothing; print the predicted seconds of an epoch of these recipes on a T4, A100, H100 and H200 "
        f"(default: {' '.join(PREDICTED)})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(options: Namespace) -> None:
    """Measure or predict as the command line says and print a table, or JSON with `--json`; write a profile if asked.

    Raises:
        KitError: a value is refused.
    """
    if options.predict is not None:
        print(_predicted(options.predict or PREDICTED, options.json))
        return
    from kit.bench.stepprofile import profile_step
    from kit.bench.throughput import Bench

    rules = rules_of(BenchSettings)
    settings = BenchSettings(**{name: rule.check(name, getattr(options, name)) for name, rule in rules.items()})
    bench = Bench(settings)
    if settings.profile:
        profile_step(bench.learner, bench.batches, settings.profile)
    figures = bench.measure()
    print(json.dumps(figures, indent=2) if options.json else table(figures))


def _predicted(names: Sequence[str], as_json: bool) -> str:
    from kit.bench import prediction

    recipes = {name: recipe_named(name) for name in names}  # all names are checked before any work
    found = [prediction.predict_epoch(name, recipe) for name, recipe in recipes.items()]
    if not as_json:
        return prediction.table(found)
    return json.dumps({one.recipe: prediction.as_json(one) for one in found}, indent=2)


def table(figures: dict[str, dict[str, Any]]) -> str:
    """The figures as lines of text."""
    train = figures["train"]
    lines = [
        f"{train['device']}, {train['threads']} threads, torch {train['torch']}; {train['arch']} network, batch "
        f"{train['batch_size']}, {train['amp']}{', compiled' if train['compiled'] else ''}; medians of "
        f"{len(train['rounds'])} rounds",
        f"{'':10}{'images/s':>12}{'paper way':>12}{'ratio':>8}{'TFLOP/s':>10}{'of peak':>9}",
    ]
    for phase, f in figures.items():
        speed = f"{f['images_per_second']:12,.0f}{f['paper_images_per_second']:12,.0f}{f['ratio']:8.2f}"
        share = f"{f['tflops']:10.3f}{f['share_of_peak']:9.1%}" if "tflops" in f else ""
        lines.append(f"{phase:10}{speed}{share}")
    lines.append(
        f"peak of matrix products: {train['peak_tflops']:.3f} TFLOP/s in {train['amp']}, "
        f"{train['paper_peak_tflops']:.3f} in {train['paper_precision']}, which the paper's way uses; "
        f"augmentation is {train['augmentation_share']:.1%} of a step; "
        f"an epoch of 50,000 images takes {train['seconds_per_epoch']:,.2f} s, the paper's way "
        f"{train['paper_seconds_per_epoch']:,.2f} s"
    )
    if "predicted_seconds_per_epoch" in train:
        least, most = train["predicted_seconds_per_epoch"]
        lines.append(
            f"measured {train['seconds_per_epoch']:,.2f} s beside {least:,.2f} to {most:,.2f} s predicted for a GPU of "
            "this kind, without augmentation (--predict says how)"
        )
    return "\n".join(lines)
