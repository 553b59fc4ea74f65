"""Provenance: what a run's record says of the code, the versions and the machine."""

import hashlib
import importlib.metadata
import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import torch

from asdstudy import paths

PACKAGES = ("asdlib", "torch", "torchaudio", "timm", "scikit-learn", "numpy", "pandas", "soundfile")


def provenance() -> dict:
    """Versions, git commit, device, threads and time: what a figure's record must say."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    cuda = torch.cuda.is_available()
    return {
        "versions": versions,
        "commit": git_commit(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "threads": torch.get_num_threads(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


STAMP = ("fingerprint", "overrides", "commit", "device", "threads", "versions", "finished")
DECISIVE = ("python", "torch", "torchaudio", "timm", "scikit-learn", "numpy")  # for the numbers


def stamp(params: dict) -> dict:
    """What a row of a table keeps of a run's record: the columns of ``STAMP``, as words."""
    versions = (f"{name} {params['versions'][name]}" for name in DECISIVE)
    told = {name: params[name] for name in STAMP}
    return told | {"overrides": json.dumps(params["overrides"]), "versions": " ".join(versions)}


def code_hash() -> str:
    """A short hash of this package's source: an interrupted run goes on with the same code only."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def git_commit() -> str:
    """The commit of the study, with "+" where files differ from it; "unknown" outside git."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(paths.project_root()), *words],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip

    try:
        return git("rev-parse", "--short=10", "HEAD") + (
            "+" if git("status", "--porcelain", "-uno") else ""
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
