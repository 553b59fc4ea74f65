"""Where things are: the only module that knows a folder by name."""

import os
import re
import shutil
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


class whole_folder:
    """``with whole_folder(path) as part:`` write into ``part``; it becomes ``path`` when whole.

    What was at ``path`` is replaced; after an error nothing is left but what was there before.
    What a killed process left beside ``path`` is removed.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.part, self.old = (
            self.path.with_name(f".{self.path.name}.{os.getpid()}.{end}") for end in ("part", "old")
        )

    def __enter__(self) -> Path:
        self.part.parent.mkdir(parents=True, exist_ok=True)
        name = re.compile(rf"\.{re.escape(self.path.name)}\.(\d+)\.(part|old)")
        for beside in self.path.parent.iterdir():
            found = name.fullmatch(beside.name)
            if found and not _another_runs(int(found[1])):
                shutil.rmtree(beside, ignore_errors=True)
        self.part.mkdir()
        return self.part

    def __exit__(self, error, *_):
        if error is None:
            if self.path.exists():
                os.replace(self.path, self.old)
            os.replace(self.part, self.path)
            shutil.rmtree(self.old, ignore_errors=True)
        else:
            shutil.rmtree(self.part, ignore_errors=True)


def _another_runs(process: int) -> bool:
    """Whether a process of that number runs, other than this one."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return process != os.getpid()
