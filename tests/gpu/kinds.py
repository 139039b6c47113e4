"""One recipe for each kind of training step, for tests that run every kind."""

from kit.recipe import RECIPES

SIZES = ("arch", "epochs", "batch_size", "lr", "momentum", "schedule", "warmup", "seed", "filter", "skip_kernel")


def different_rows() -> list[str]:
    """One row of RECIPES for each kind: a kind leaves out sizes, and asks of a number only whether it is zero."""
    kinds = {}
    for name, recipe in RECIPES.items():
        kind = {k: v if isinstance(v, str) else bool(v) for k, v in recipe.as_dict().items() if k not in SIZES}
        kinds.setdefault((recipe.architecture.form, *kind.items()), name)
    return list(kinds.values())
