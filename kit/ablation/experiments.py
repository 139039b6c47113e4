"""The paper's experiments: the rows of RECIPES in each of its tables, and the figures that the paper prints."""

from dataclasses import dataclass, replace

from kit.errors import KitError
from kit.model import Architecture, parse
from kit.recipe import PAPER, RECIPES, Recipe, recipe_named

CHANNELS_AT_LEAST = 8


@dataclass(frozen=True)
class Experiment:
    """One row of a table.

    Attributes:
        row: the name in RECIPES.
        label: its name in the table.
        paper_accuracy: validation accuracy in % that the paper prints, or None.
        paper_parameters: number of parameters that the paper prints, or None.
    """

    row: str
    label: str
    paper_accuracy: float | None = None
    paper_parameters: int | None = None

    @property
    def recipe(self) -> Recipe:
        """The row's recipe at full scale."""
        return RECIPES[self.row]


@dataclass(frozen=True)
class Table:
    """A table of experiments: one of the paper's, or one made from a paragraph of it."""

    title: str
    experiments: tuple[Experiment, ...]

    @property
    def rows(self) -> tuple[str, ...]:
        """The names in RECIPES."""
        return tuple(experiment.row for experiment in self.experiments)


def _table(title: str, *experiments: tuple) -> Table:
    return Table(title, tuple(Experiment(*each) for each in experiments))


TABLES: dict[str, Table] = {
    "1": _table(
        "Table 1: architectures",
        ("table1-1111", "64,128,256,512 / 1,1,1,1", 89.8, 4_903_242),
        ("table1-2222", "64,128,230,270 / 2,2,2,2", 95.7, 4_995_102),
        ("table1-4322", "64,128,192,230 / 4,3,2,2 (printed 4,3,2,1)", 96.03, 4_236_302),
        ("table1-4321", "64,128,192,230 / 4,3,2,1 (as printed)"),
        ("paper", "64,128,256 / 4,5,3", 96.95, 4_992_586),
    ),
    "2": _table(
        "Table 2: augmentations",
        ("table2-autoaugment", "crop + flip + AutoAugment (1)", 95.42),
        ("paper", "(1) + Cutout", 95.94),
        ("table2-jitter-rotation", "(1) + colour jitter + rotation", 94.9),
    ),
    "optimizers": _table(
        "Optimizers",
        ("sgd", "SGD"), ("adam", "Adam"), ("paper", "Lookahead(SGD)"), ("lookahead-adam", "Lookahead(Adam)"),
    ),
    "rates": _table(
        "Learning rates",
        ("paper", "0.1, cosine"), ("lr-0.1-constant", "0.1, constant"), ("lr-0.1-step", "0.1, by 0.1 at 50 and 75 %"),
        ("lr-0.01", "0.01, cosine"), ("lr-0.01-constant", "0.01, constant"),
    ),
    "epochs": _table(
        "Epochs",
        ("epochs-100", "100 epochs"), ("paper", "200 epochs"), ("epochs-250", "250 epochs"),
        ("epochs-300", "300 epochs"),
    ),
    "dropout": _table(
        "Dropout",
        ("paper", "0"), ("dropout-0.2", "0.2"), ("dropout-0.25", "0.25"), ("dropout-0.3", "0.3"),
    ),
    "mixing": _table(
        "Mixup and Cutout",
        ("paper", "Cutout"), ("mixup-0.5", "Mixup 0.5"), ("mixup-0.75", "Mixup 0.75"),
        ("mixup-cutout", "Mixup 0.5 + Cutout"),
    ),
    "regularizers": _table(
        "Label smoothing and weight decay",
        ("paper", "both"), ("no-label-smoothing", "no label smoothing"), ("no-weight-decay", "no weight decay"),
    ),
}  # fmt: skip


def table_named(name: str) -> Table:
    """The table called `name`.

    Raises:
        KitError: there is none; the message lists all tables.
    """
    if name not in TABLES:
        raise KitError(f"table {name!r} is not known (allowed: {', '.join(TABLES)})")
    return TABLES[name]


def at_scale(row: str, epochs: int | None = None, arch_scale: float = 1.0) -> Recipe:
    """The recipe of a row, with fewer epochs or channels for a smaller machine.

    Args:
        row: a name in RECIPES.
        epochs: replaces the paper's 200 epochs. A row that is about its number of epochs keeps its ratio to the 200
            (epochs-300 takes 1.5 times `epochs`). Warm-up is shortened in proportion. None keeps the row's own number.
        arch_scale: factor on every layer's channels, rounded to multiples of 8, at least 8; blocks do not change.

    Raises:
        KitError: the row is unknown, or the scale is not above 0.
    """
    recipe = recipe_named(row)
    if arch_scale <= 0:
        raise KitError(f"arch-scale has to be above 0, not {arch_scale:g}")
    if epochs is not None:
        length = max(round(epochs * _share(row)), 1)
        recipe = recipe.replace(epochs=length, warmup=recipe.warmup * length / recipe.epochs)
    return recipe if arch_scale == 1 else recipe.replace(arch=str(_scaled(parse(recipe.arch), arch_scale)))


def is_about_epochs(row: str) -> bool:
    """Whether the row differs from the paper's final configuration in its number of epochs only."""
    return RECIPES[row] != PAPER and RECIPES[row].replace(epochs=PAPER.epochs) == PAPER


def _share(row: str) -> float:
    """The row's epochs as a multiple of the paper's 200 if the row is about its number of epochs, otherwise 1."""
    return RECIPES[row].epochs / PAPER.epochs if is_about_epochs(row) else 1.0


def _scaled(arch: Architecture, scale: float) -> Architecture:
    if scale == 1:
        return arch
    return replace(arch, channels=tuple(max(round(c * scale / 8) * 8, CHANNELS_AT_LEAST) for c in arch.channels))
