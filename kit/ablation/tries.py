"""What was tried on the way to a recipe, beside the recipe itself at the same length, as a data frame."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

import pandas as pd

from kit.ablation.comparisons import LAST, accuracy_by_seed, compared, figures_of
from kit.ablation.records import Images, attempt_of, data_of, differences_in_recipe, settings_of
from kit.ablation.significance import difference
from kit.recipe import RECIPES
from kit.run import Run

ITSELF, LENGTH_ALONE, NOTHING = "the recipe itself", "its epochs alone", "nothing in the recipe"
COLUMNS = ["differs in", "epochs", LAST, "sd", "n", "difference", "verdict", "PFLOP", "parameters", "minutes", "images"]


class Variant(NamedTuple):
    """What a group of runs, alike but for their seeds, is of a recipe.

    Attributes:
        name: what was tried, or the recipe's own name.
        differs: what the records have other than the recipe, their epochs aside, in words.
        epochs: of the runs.
        images: that trained and validated.
    """

    name: str
    differs: str
    epochs: int
    images: Images


def bases(runs: Iterable[Run]) -> list[str]:
    """The recipes for which something was tried, in the order of RECIPES."""
    found = {attempt[0] for run in runs if (attempt := attempt_of(run))}
    return [name for name in RECIPES if name in found]


def tried(runs: Iterable[Run], base_name: str = "quick") -> pd.DataFrame:
    """The runs `<base_name>-tried-<what>[-seed<N>]` beside those of the recipe, a row a variant.

    What differs is read from the records, never from a name. A variant is compared with the recipe of the same length
    and images, Holm's correction over all of them; the longest and the most accurate come first. Empty where nothing
    was tried.
    """
    variants = variants_of(runs, base_name)
    if all(variant.differs == ITSELF for variant in variants):
        return pd.DataFrame(columns=COLUMNS)
    references = references_among(variants)
    others = [variant for variant in variants if variant not in references.values()]
    ordered = [*references.values(), *others]
    rows = [
        {"tried": v.name, "differs in": v.differs, "images": str(v.images)} | figures_of(variants[v]) for v in ordered
    ]
    found = []
    for each in others:
        reference = variants.get(references.get((each.epochs, each.images)), ())
        found.append(difference(accuracy_by_seed(variants[each]), accuracy_by_seed(reference)))
    verdicts = compared(range(len(references), len(rows)), found)[["difference", "verdict"]]
    frame = pd.DataFrame(rows).join(verdicts).fillna({"verdict": "reference"}).set_index("tried")
    return frame[COLUMNS].sort_values(["epochs", LAST], ascending=False)


def variants_of(runs: Iterable[Run], base_name: str) -> dict[Variant, list[Run]]:
    """The runs of a recipe, whatever they are called, and those that were tried for it; of a seed, the last."""
    variants = defaultdict(dict)
    for run in runs:
        attempt = attempt_of(run)
        if attempt and attempt[0] == base_name:
            name, differs = attempt[1], _differs(run, base_name)
        elif not differences_in_recipe(run, RECIPES[base_name]):
            name, differs = base_name, ITSELF
        else:
            continue
        settings = settings_of(run)
        variants[Variant(name, differs, settings["epochs"], data_of(run))][settings["seed"]] = run
    return {variant: list(by_seed.values()) for variant, by_seed in variants.items()}


def _differs(run: Run, base_name: str) -> str:
    base = RECIPES[base_name]
    same_length = settings_of(run)["epochs"] == base.epochs
    return differences_in_recipe(run, base, ("seed", "epochs"), beside=False) or (
        NOTHING if same_length else LENGTH_ALONE
    )


def references_among(variants: Collection[Variant]) -> dict[tuple[int, Images], Variant]:
    """By epochs and images what the others compare with: the recipe, or the first try of its epochs alone, by name."""
    references = {}
    for variant in sorted(variants, key=lambda variant: variant.name):
        if variant.differs in (ITSELF, LENGTH_ALONE):
            references.setdefault((variant.epochs, variant.images), variant)
    return references
