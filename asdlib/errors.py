"""The one error for input that cannot be used, and what raises it everywhere."""

import shutil
import tempfile
from pathlib import Path


class InputError(ValueError):
    """Input is wrong: the message names the file or name, what was found and what was expected."""

    def __init__(self, message: str):
        # the name of a file may hold what is no UTF-8 or steers a terminal: it is one legible line
        shown = (c if c.isprintable() else ascii(c)[1:-1] for c in str(message))
        super().__init__("".join(shown))


def one_of(kind: str, value, known) -> None:
    """Raise :class:`InputError` unless ``value`` is among ``known``, listing what is."""
    if value not in known:
        raise InputError(f"unknown {kind} {value!r}; known: {', '.join(map(str, known))}")


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it; :class:`InputError` where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written ({error.strerror}); expected a folder for output"
        ) from None


def check_room(folder: Path, needed: float, what: str) -> None:
    """Raise :class:`InputError` unless ``needed`` bytes are free where ``folder`` is or will be."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"{folder}: not enough room; {what} needs about {gigabytes(needed)}, "
            f"and {gigabytes(free)} are free"
        )


def gigabytes(size: float) -> str:
    """A number of bytes in words, as in "1.5 GB"."""
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
