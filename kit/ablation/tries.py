"""Compare what was tried for a recipe with the recipe itself at the same number of epochs, as a data frame."""

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
    """A variant of a recipe: runs that differ in their seed only.

    Attributes:
        name: what was tried, or the recipe's own name.
        differs: the settings in which the records differ from the recipe, without the epochs, in words.
        epochs: number of epochs.
        images: the images that trained and validated.
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
    """The runs `<base_name>-tried-<what>[-seed<N>]` and those of the recipe, one row per variant.

    The differences are read from the records, never from a name. A variant is compared with the recipe at the same
    number of epochs and on the same images, with Holm's correction over all variants. The longest variants come first,
    then the most accurate ones. The frame is empty if nothing was tried.
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
        reference = references.get((each.epochs, each.images))
        compared_with = variants[reference] if reference else []
        found.append(difference(accuracy_by_seed(variants[each]), accuracy_by_seed(compared_with)))
    verdicts = compared(range(len(references), len(rows)), found)[["difference", "verdict"]]
    frame = pd.DataFrame(rows).join(verdicts).fillna({"verdict": "reference"}).set_index("tried")
    return frame[COLUMNS].sort_values(["epochs", LAST], ascending=False)


def variants_of(runs: Iterable[Run], base_name: str) -> dict[Variant, list[Run]]:
    """The runs of a recipe, whatever their names are, and those that were tried for it; the last one of each seed."""
    variants: dict[Variant, dict[int, Run]] = defaultdict(dict)  # the run of each seed
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
    """By epochs and images, the variant to compare with: the recipe, or the first one with other epochs only."""
    references: dict[tuple[int, Images], Variant] = {}
    for variant in sorted(variants, key=lambda variant: variant.name):
        if variant.differs in (ITSELF, LENGTH_ALONE):
            references.setdefault((variant.epochs, variant.images), variant)
    return references
