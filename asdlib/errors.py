"""The one error for input that cannot be used."""


class InputError(ValueError):
    """Input is wrong: the message names the file or name, what was found and what was expected."""

    def __init__(self, message: str):
        # the name of a file may hold what is no UTF-8 or steers a terminal: it is one legible line
        shown = (c if c.isprintable() else ascii(c)[1:-1] for c in str(message))
        super().__init__("".join(shown))


def one_of(kind: str, value, known) -> None:
    """Raise :class:`InputError`, which lists the ``known`` values, unless ``value`` is one."""
    if value not in known:
        raise InputError(f"unknown {kind} {value!r}; known: {', '.join(map(str, known))}")
