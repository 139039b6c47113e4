"""`python -m kit.ablation`: rewrite the tables in notebooks/results/README.md from the records beside it."""

import argparse
import sys

from kit.ablation.tables import rewrite_readme
from kit.errors import KitError

argparse.ArgumentParser(prog="python -m kit.ablation", description=__doc__).parse_args()
try:
    rewrite_readme()
except KitError as error:
    sys.exit(f"error: {error}")
