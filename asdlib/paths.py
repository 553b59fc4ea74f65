"""Where things are: the only module that knows a folder by name."""

import os
from pathlib import Path


def project_root() -> Path:
    """The folder of the study: ``ASDLIB_ROOT``, or the nearest one above with a ``pyproject.toml``.

    A notebook runs in its caller's working directory, so relative paths cannot be relied upon.
    """
    if os.environ.get("ASDLIB_ROOT"):
        return Path(os.environ["ASDLIB_ROOT"]).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / "pyproject.toml").exists() and (folder / "asdlib").is_dir():
            return folder
    return here


def data_dir(corpus: str) -> Path:
    """Where a corpus lies unless the caller says otherwise: ``data/<corpus>``."""
    return project_root() / "data" / corpus


def waves_dir(corpus: str) -> Path:
    """The wave banks of a corpus: ``data/waves/<corpus>`` (never inside a user's own data)."""
    return project_root() / "data" / "waves" / corpus


def runs_dir() -> Path:
    """The root of all run folders: ``runs``."""
    return project_root() / "runs"


def run_dir(out_dir, corpus: str, machine_type: str, variant: str, seed: int) -> Path:
    """``<out_dir>/<corpus>/<machine type>/<variant>-s<seed>``, the folder of one run."""
    return Path(out_dir or runs_dir()) / corpus / machine_type / f"{variant}-s{seed}"


def measured_dir() -> Path:
    """Committed result tables of the long studies: ``book/measured``."""
    return project_root() / "book" / "measured"
