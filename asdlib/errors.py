"""The one error for input that cannot be used."""

from pathlib import PureWindowsPath


class InputError(ValueError):
    """Input is wrong: the message names the file or name, what was found and what was expected."""

    def __init__(self, message: str):
        # the name of a file may be no UTF-8, and could not be printed then
        super().__init__(str(message).encode(errors="backslashreplace").decode())


def one_of(kind: str, value, known) -> None:
    """Raise :class:`InputError` unless ``value`` is among ``known``, listing what is."""
    if value not in known:
        raise InputError(f"unknown {kind} {value!r}; known: {', '.join(map(str, known))}")


def name_of(kind: str, value) -> str:
    """``value``, if it can name a folder on any computer; else :class:`InputError`.

    What is at the start of a name must be no dot, which hides it, and no dash, as of an option.
    """
    if not isinstance(value, str):
        raise InputError(f"{kind} {value!r}: a {type(value).__name__}; expected a name, as text")
    parts = PureWindowsPath(value).name != value or not value.isprintable()  # /, \, drives, NUL
    if parts or value[:1] in ("", ".", "-") or len(value.encode()) > 200:
        raise InputError(
            f"{kind} {value!r}: expected the name of a visible folder, without / or \\"
        )
    return value
