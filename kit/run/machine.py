"""What a run notes about the machine, the versions and the command that trained it."""

import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from kit.system.paths import ROOT


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Versions, device, threads, commit and command, as kept in config.json."""
    return {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": _torchvision(),
        },
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "command": _command(),
    }


def _torchvision() -> str | None:
    """Its version, without the second that importing it takes; None if it is not installed, as training needs none."""
    try:
        return metadata.version("torchvision")
    except metadata.PackageNotFoundError:
        return None


def _command() -> str:
    program = Path(sys.argv[0]).name
    return "a notebook" if program == "ipykernel_launcher.py" else " ".join([program, *sys.argv[1:]])


def _cpu_name() -> str:
    try:
        match = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        match = None
    return match[1] if match else platform.processor() or platform.machine()


def _commit() -> str | None:
    if not (ROOT / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    except OSError:  # no git on this machine
        return None
    return answer.stdout.strip() or None
