"""Where things lie: the checkout, the folder that outputs go to, and Kaggle's mounts."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]  # the checkout, or the folder that kit/ was copied into
KAGGLE_INPUT = Path("/kaggle/input")
EMBEDDED = ("digits", "noisy-digits")  # images that lie nowhere: scikit-learn brings them


def workspace() -> Path:
    """The folder of runs/, data/ and submissions/: the checkout if it is writable, else the working folder."""
    return ROOT if (ROOT / "notebooks").is_dir() and os.access(ROOT, os.W_OK) else Path.cwd()
