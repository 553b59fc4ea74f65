"""Where things are, and how they are written whole: the only module that knows a folder by name."""

import errno
import os
import re
import shutil
import socket
import tempfile
import unicodedata
from contextlib import contextmanager, suppress
from pathlib import Path

from asdlib.errors import InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, share of it, size of a file


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
        with making(path):
            yield part
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path):
    """``with whole_folder(path) as part:`` write into ``part``; it becomes ``path`` when whole.

    What was at ``path`` is replaced; after an error nothing is left but what was there before.
    What a killed process left beside ``path`` is removed.
    """
    part, old = own_part(path), own_part(path, "old")
    make_folder(path.parent)
    for left in left_parts(path):
        if left.suffix == ".old" and not path.exists():
            left.replace(path)  # killed between the two renames below
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir()
    try:
        with making(path):
            yield part
        if path.exists():
            path.replace(old)
        part.replace(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


def _another_runs(process: int) -> bool:
    """Whether a process of that number runs here, other than this one."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return process != os.getpid()


class NoRoom(InputError):
    """Disk or memory is full, or a file larger than it may be; what is finished is kept."""


@contextmanager
def making(path: Path):
    """Within, an error for want of room becomes :class:`NoRoom`, which names ``path``.

    torch and safetensors hide the system's error in theirs.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        what, causes = str(error), (error, error.__cause__, error.__context__)
        if isinstance(error, MemoryError) or re.search("allocate memory|out of memory", what):
            raise NoRoom(
                f"{path}: not enough memory to make it ({' '.join(what.split())[:200]}); what is "
                "finished is kept: take smaller batches or shorter segments, or a larger machine"
            ) from error
        numbers = {getattr(cause, "errno", None) for cause in causes}
        words = "|".join(["inline_container", *(f"os error {number}" for number in FULL)])
        if numbers & {*FULL} or any(re.search(words, str(cause)) for cause in causes):
            raise NoRoom(
                f"{path}: no room to write it ({gigabytes(_free(path))} are free, and a file may "
                "have a limit); what is finished is kept: make room, and the same command goes on"
            ) from error
        raise


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it; :class:`InputError` where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except (OSError, ValueError) as error:  # the latter of NUL in its name
        why = getattr(error, "strerror", error)
        raise InputError(
            f"{folder}: cannot be written ({why}); expected a folder for output"
        ) from None


def check_room(folder: Path, needed: float, what: str) -> None:
    """Raise :class:`InputError` unless ``needed`` bytes are free where ``folder`` is or will be."""
    free = _free(folder)
    if needed > free:
        raise InputError(
            f"{folder}: not enough room; {what} needs about {gigabytes(needed)}, "
            f"and {gigabytes(free)} are free"
        )


def _free(place: Path) -> int:
    """The bytes that are free where ``place`` is or will be."""
    there = next(path for path in (place, *place.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def gigabytes(size: float) -> str:
    """A number of bytes in words, as in "1.5 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
