"""`python -m kit bench`: images a second of this machine, beside the paper's own way of training."""

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from kit.parameters import BenchSettings
from kit.rules import rules_of


def add_options(parser: ArgumentParser) -> None:
    """Add an option for every setting of the benchmark."""
    defaults = BenchSettings()
    for name, rule in rules_of(BenchSettings).items():
        text = f"{rule.meaning}; {rule.allowed()} (default: {getattr(defaults, name)!r})"
        parser.add_argument(f"--{name}", metavar="VALUE", default=getattr(defaults, name), help=text)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(options: Namespace) -> None:
    """Measure as the command line says and print a table, or JSON with `--json`; write the profile if one is asked for.

    Raises:
        KitError: a value is refused.
    """
    from kit.bench.stepprofile import profile_step
    from kit.bench.throughput import Bench

    rules = rules_of(BenchSettings)
    settings = BenchSettings(**{name: rule.check(name, getattr(options, name)) for name, rule in rules.items()})
    bench = Bench(settings)
    if settings.profile:
        profile_step(bench.learner, bench.batches, settings.profile)
    figures = bench.measure()
    print(json.dumps(figures, indent=2) if options.json else table(figures))


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
    return "\n".join(lines)
