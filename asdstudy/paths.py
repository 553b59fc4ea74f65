"""Where things are: the only module that knows a folder by name."""

import os
import re
import shutil
import socket
import unicodedata
from contextlib import contextmanager, suppress
from pathlib import Path

from asdlib.errors import InputError, make_folder


def project_root() -> Path:
    """The folder of the study: ``ASDLIB_ROOT``, or the nearest one above with a ``pyproject.toml``.

    A notebook runs in its caller's working directory, so relative paths cannot be relied upon.
    """
    if os.environ.get("ASDLIB_ROOT"):
        return Path(os.environ["ASDLIB_ROOT"]).resolve()
    here = Path.cwd().resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        # not Path.exists, which raises where a folder may not be read
        if os.path.isfile(folder / "pyproject.toml") and os.path.isdir(folder / "asdlib"):
            return folder
    return here


def chosen(folder, usual: Path) -> Path:
    """The ``folder`` that the caller says, if any, or the ``usual`` one.

    ``~`` is one's own folder, as in a shell, which a notebook's parameters do not pass through.
    """
    if not isinstance(folder, str | os.PathLike | None) or not str(folder).isprintable():
        raise InputError(f"folder {folder!r}: a {type(folder).__name__}; expected a path, as text")
    return Path(os.path.expanduser(folder)) if folder else usual


def composed(name: str) -> str:
    """A name with its letters composed (NFC), to be compared: macOS decomposes those of files."""
    return unicodedata.normalize("NFC", name)


def spelled(path: Path) -> Path:
    """``path``, or what is there whose name differs from its own in how letters are composed."""
    if not path.name.isascii() and not os.path.lexists(path):
        with suppress(OSError):
            beside = {composed(other.name): other for other in path.parent.iterdir()}
            return beside.get(composed(path.name), path)
    return path


def data_dir(corpus: str) -> Path:
    """Where a corpus lies unless the caller says otherwise: ``data/<corpus>``."""
    if corpus.casefold() == "waves":
        raise InputError(f"corpus {corpus!r}: the banks of all corpora lie there; expected another")
    return spelled(project_root() / "data" / corpus)


def waves_dir(corpus: str) -> Path:
    """The wave banks of a corpus: ``data/waves/<corpus>`` (never inside a user's own data)."""
    return project_root() / "data" / "waves" / corpus


def runs_dir() -> Path:
    """The root of all run folders: ``runs``."""
    return project_root() / "runs"


def measured_dir() -> Path:
    """Committed result tables of the long studies: ``book/measured``."""
    return project_root() / "book" / "measured"


def tables_of(folder: Path, *studies: str) -> list[Path]:
    """The tables in ``folder`` of some studies, such as "ablation", of all sounds that have one."""
    patterns = [name + ending for name in studies for ending in (".csv", "-*.csv")]
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def own_part(path: Path, end: str = "part") -> Path:
    """Where this process writes what will be ``path``: hidden beside it, named after the process.

    The host is in the name: on a disk that computers share, a number alone is no one process.
    """
    name = path.name.removeprefix(".")
    return path.with_name(f".{name}.{socket.gethostname()}.{os.getpid()}.{end}")


def left_parts(path: Path) -> list[Path]:
    """What killed processes of this computer left half written of ``path``; never a live one's."""
    ours = re.escape(f".{path.name.removeprefix('.')}.{socket.gethostname()}")
    name = re.compile(rf"{ours}\.(\d+)\.(part|old)")
    beside = path.parent.iterdir() if path.parent.exists() else ()
    matches = [(other, name.fullmatch(other.name)) for other in beside]
    return [other for other, match in matches if match and not _another_runs(int(match[1]))]


@contextmanager
def replacing(path: Path):
    """``with replacing(path) as part:`` the file ``part`` becomes ``path`` when whole.

    After an error nothing is left but what was there before.
    """
    part = own_part(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class whole_folder:
    """``with whole_folder(path) as part:`` write into ``part``; it becomes ``path`` when whole.

    What was at ``path`` is replaced; after an error nothing is left but what was there before.
    What a killed process left beside ``path`` is removed.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.part, self.old = own_part(self.path), own_part(self.path, "old")

    def __enter__(self) -> Path:
        make_folder(self.part.parent)
        for left in left_parts(self.path):
            if left.suffix == ".old" and not self.path.exists():
                left.replace(self.path)  # killed between the two renames below
            shutil.rmtree(left, ignore_errors=True)
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
    """Whether a process of that number runs here, other than this one."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return process != os.getpid()
