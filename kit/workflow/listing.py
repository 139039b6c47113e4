"""`python -m kit recipes`: the named recipes, one recipe's values, and the architectures. No torch is needed."""

from kit.model import ARCHITECTURES, FORMS
from kit.recipe import PAPER, RECIPES, RULES, recipe_named


def print_recipes() -> None:
    """Print one line per recipe: name, architecture, epochs, and what else differs from the paper's."""
    for name, recipe in RECIPES.items():
        paper = PAPER.as_dict() | {"arch": recipe.arch, "epochs": recipe.epochs}
        changed = {k: v for k, v in recipe.as_dict().items() if v != paper[k]}
        words = ", ".join(f"{k} {v}" for k, v in changed.items()) or "all else as in the paper's final configuration"
        print(f"{name:24} {recipe.arch}, {recipe.epochs} epochs; {words}")
    print("\npython -m kit recipes NAME shows all values of one recipe.\n")
    print_architectures()


def print_recipe(name: str) -> None:
    """Print every value of one recipe with its meaning; a star marks what differs from the paper's configuration.

    Raises:
        KitError: there is no such recipe.
    """
    recipe = recipe_named(name)
    for setting, value in recipe.as_dict().items():
        star = "*" if value != getattr(PAPER, setting) else " "
        print(f"{star} {setting:16} {str(value) or '(empty)':24} {RULES[setting].meaning}")
    print(f"\n* differs from the recipe paper. The network of {name}, spelt out: {recipe.architecture}\n")
    print_architectures()


def print_architectures() -> None:
    """Print the values that `arch` takes, and what `+se` and `+pooled` mean."""
    print("arch is one of these names, or channels/blocks per layer such as 64,128,256/4,5,3:")
    for name, architecture in ARCHITECTURES.items():
        print(f"  {name:16} {architecture}")
    print("Behind either, + and a form says how the layers are built, as in paper+se or 64,128,256/1,1,1+pooled:")
    for name, form in FORMS.items():
        print(f"  {'+' + name if name != 'basic' else '(nothing)':16} {form.meaning}")
