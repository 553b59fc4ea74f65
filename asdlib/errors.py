"""The one error for input that cannot be used, and what raises it everywhere."""

import errno
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # disk, share of it, size of a file


class InputError(ValueError):
    """Input is wrong: the message names the file or name, what was found and what was expected."""

    def __init__(self, message: str):
        # the name of a file may hold what is no UTF-8 or steers a terminal: it is one legible line
        shown = (c if c.isprintable() else ascii(c)[1:-1] for c in str(message))
        super().__init__("".join(shown))


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


def one_of(kind: str, value, known) -> None:
    """Raise :class:`InputError` unless ``value`` is among ``known``, listing what is."""
    if value not in known:
        raise InputError(f"unknown {kind} {value!r}; known: {', '.join(map(str, known))}")


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
