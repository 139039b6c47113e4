"""Make the pack: one zip with the kit, runs, CSV, versions, entry points and the hashes to expect."""

import hashlib
import json
import platform
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.run import Run, load_runs, travels
from kit.submission import find_test_file, sha256, submission_path
from kit.system import paths
from kit.system.files import read_json, replacing
from kit.system.package import package_files
from kit.system.paths import ROOT, workspace

MANIFEST = "manifest.json"
_OF_A_RUN = ("config.json", "history.csv", "metrics.json", "model.safetensors", "best.safetensors", "*.ipynb", "*.html")
_LOADED_LATE = ("torchvision", "sklearn")  # only when images are downloaded or changed, or labels judged
_OLDEST_DATE = (1980, 1, 1, 0, 0, 0)  # of every file in the zip, so that the same files make the same zip
_SCRIPT = '''"""{about}"""

from kit.errors import KitError
from kit.pack import {name}

if __name__ == "__main__":
    try:
        {name}()
    except KitError as error:
        raise SystemExit(f"error: {{error}}") from None
'''
_README = """# {title}

Everything that made `{csv}`: the kit, the runs with their weights and executed notebooks, and the CSV.

    pip install -r requirements.txt               # the exact versions that predicted; Python {python}
    python -m kit verify . --test_file FILE       # predicts again and compares the CSV byte for byte
    python predict.py --test_file FILE            # writes again.csv
    python train.py --data DATA                   # trains the runs again, into trained/

FILE is the competition's test file, which is not in here. `{manifest}` holds the SHA-256 of every file, of the CSV
and of the test file.
"""


def pack(names: str, output: str | Path | None = None, test_file: str = "auto") -> Path:
    """Pack the runs whose average, or the run that alone, made a CSV.

    Args:
        names: a run, or several joined by commas, in the order in which they were submitted.
        output: the zip; build/packs/<CSV's name>.zip by default.
        test_file: the competition's test file, whose hash is kept; `auto` looks for it.

    Returns:
        The zip.

    Raises:
        KitError: no such run, no CSV of it, or weights that are not those that made the CSV.
    """
    runs = load_runs(names)
    csv = submission_path(runs)
    if not csv.is_file() or not csv.with_suffix(".json").is_file():
        raise KitError(f"{csv} or the JSON beside it is missing: run the submit notebook with run {names} first")
    about = read_json(csv.with_suffix(".json"))
    _check_unchanged(runs, csv, about)
    contents = _contents(runs, csv)
    found = find_test_file(test_file, "auto")
    manifest = _manifest(runs, csv, about, found)
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in _bytes(contents)}
    contents[MANIFEST] = json.dumps(manifest, indent=2).encode() + b"\n"
    target = paths.given(output) if output else workspace() / "build" / "packs" / f"{csv.stem}.zip"
    with replacing(target) as part:
        _write(part, contents)
    size = target.stat().st_size / 1e6
    print(f"{target}: {len(contents)} files, {size:.1f} MB; SHA-256 of {csv.name} {manifest['csv_sha256'][:12]}...")
    print(f"to check it anywhere: python -m kit verify {target.name} --test_file FILE")
    return target


def _check_unchanged(runs: list[Run], csv: Path, about: dict[str, Any]) -> None:
    """Refuse a CSV or weights that changed since the CSV was written."""
    if sha256(csv) != about.get("sha256"):
        raise KitError(f"{csv} is not the file that {csv.with_suffix('.json').name} describes: predict it again")
    hashes = [sha256(run.weights_path(about["weights"])) for run in runs]
    if hashes != about.get("weights_sha256"):
        raise KitError(f"the weights of {about.get('run')} changed since {csv} was written: predict it again")


def _contents(runs: list[Run], csv: Path) -> dict[str, Path | bytes]:
    """Every file of the pack but the manifest, by its name there."""
    contents: dict[str, Path | bytes] = {path.relative_to(ROOT).as_posix(): path for path in package_files()}
    for run in runs:
        for path in sorted(path for pattern in _OF_A_RUN for path in run.folder.glob(pattern)):
            if travels(path.name):
                contents[f"runs/{run.name}/{path.name}"] = path
    for path in (csv, csv.with_suffix(".json")):
        contents[f"submissions/{path.name}"] = path
    lines = [f"{name}=={version.split('+')[0]}" for name, version in versions().items()]
    contents["requirements.txt"] = ("\n".join(lines) + "\n").encode()
    contents["predict.py"] = _SCRIPT.format(about="Predict the CSV again.", name="predict_again").encode()
    contents["train.py"] = _SCRIPT.format(about="Train the runs again.", name="train_again").encode()
    filled = _README.format(title=csv.stem, csv=csv.name, python=platform.python_version(), manifest=MANIFEST)
    contents["README.md"] = filled.encode()
    return contents


def _manifest(runs: list[Run], csv: Path, about: dict[str, Any], test_file: Path | None) -> dict[str, Any]:
    return {
        "csv": f"submissions/{csv.name}",
        "csv_sha256": about["sha256"],
        "runs": [run.name for run in runs],
        "commits": [run.config.get("commit") for run in runs],
        "kit_commit": _commit(),
        "weights": about["weights"],
        "weights_sha256": about["weights_sha256"],
        "tta": about["tta"],
        "amp": about.get("amp", "auto"),
        "device": [run.config.get("device") for run in runs],
        "test_file_sha256": sha256(test_file) if test_file else None,
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The exact version of every distribution that is loaded or that a training may load later, by name."""
    owners = metadata.packages_distributions()
    needed = {name.partition(".")[0] for name in sys.modules} | set(_LOADED_LATE)
    names = {owner for module in needed for owner in owners.get(module, ())} - {"kit"}
    return {name: metadata.version(name) for name in sorted(names, key=str.lower)}


def _commit() -> str | None:
    """The commit of this clone, with -dirty if tracked files differ from it; None outside a clone."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    if not (ROOT / ".git").exists():
        return None
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _bytes(contents: dict[str, Path | bytes]) -> list[tuple[str, bytes]]:
    return [(name, each if isinstance(each, bytes) else each.read_bytes()) for name, each in contents.items()]


def _write(path: Path, contents: dict[str, Path | bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_bytes(contents)):
            member = zipfile.ZipInfo(name, _OLDEST_DATE)
            member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(member, content)
