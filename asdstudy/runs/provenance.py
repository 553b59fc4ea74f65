"""Provenance: what a run's record says of the code, the versions and the machine."""

import ast
import hashlib
import importlib.metadata
import json
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import asdlib
from asdstudy import paths

PACKAGES = ("torch", "torchaudio", "timm", "scikit-learn", "numpy", "pandas", "soundfile")


def provenance() -> dict:
    """Versions, git commit, device, threads and time: what a figure's record must say."""
    import torch  # slow to import, and the workflow asks for code_files only

    versions = {"python": platform.python_version(), "asdlib": asdlib.__version__}
    versions |= {name: importlib.metadata.version(name) for name in PACKAGES}
    cuda = torch.cuda.is_available()
    return {
        "versions": versions,
        "commit": git_commit(),
        "device": torch.cuda.get_device_name() if cuda else processor(),
        "threads": torch.get_num_threads(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def processor() -> str:
    """The CPU by name, with the widest instructions that PyTorch uses there.

    The last bits of a sum depend on these, and with them a training.
    """
    import torch

    try:  # in Linux, on x86
        facts = dict(re.findall(r"(.+?)\s*: (.+)", Path("/proc/cpuinfo").read_text()))
        name = "{model name} (family {cpu family}, model {model})".format_map(facts)
    except (OSError, KeyError):
        name = platform.processor() or platform.machine()
    return f"{name}, {torch.backends.cpu.get_cpu_capability()}"


STAMP = (  # the same in all rows of a run
    "profile", "fingerprint", "overrides", "commit", "device", "threads", "versions", "finished",
)  # fmt: skip
DECISIVE = ("python", "torch", "torchaudio", "timm", "scikit-learn", "numpy")  # for the numbers


def stamp(params: dict) -> dict:
    """What a row of a table keeps of a run's record: the columns of ``STAMP``, as words."""
    versions = (f"{name} {params['versions'][name]}" for name in DECISIVE)
    facts = params | {
        "profile": params["profile_name"],
        "overrides": json.dumps(params["overrides"]),
        "versions": " ".join(versions),
    }
    return {name: facts[name] for name in STAMP}


def code_files(*modules: str) -> list[Path]:
    """The files of some modules of this project and of every one that they import, or those do.

    The result of a stage depends on these. They are read as text; nothing is imported.
    """
    root, files, names = Path(__file__).parents[2], {}, [*modules]
    while names:
        name = names.pop()
        path = root.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if not name.startswith(("asdlib", "asdstudy")) or name in files or not path.exists():
            continue
        files[name] = path
        names.append(name.rpartition(".")[0])  # a package is imported before what is in it
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return sorted(files.values())


def code_hash(*modules: str) -> str:
    """A short hash of :func:`code_files`: a stage is repeated when its code changes."""
    digest = hashlib.sha256()
    for path in code_files(*modules):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def git_commit() -> str:
    """The commit of the study, with "+" where files differ from it; "unknown" outside git.

    The tables of ``book/measured`` do not count: a study that has just finished wrote its own.
    """

    def git(*words: str) -> str:
        command = ["git", "-C", str(paths.project_root()), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":!book/measured")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + "+" * bool(changed)
