"""Many runs: plan them, place them on this machine's GPUs, follow their progress.

In: rows of RECIPES and seeds. Out: one run folder per training and one table.
May import: ablation, competition, data, errors, model, parameters, recipe, rules, run, system, workflow. A lazy door
(kit.system.lazyimports): the command line's options need no torch.
"""

from typing import TYPE_CHECKING

from kit.system.lazyimports import lazy_imports

if TYPE_CHECKING:
    from kit.sweep.command import add_options, run_command

__all__, __dir__, __getattr__ = lazy_imports(__name__)
