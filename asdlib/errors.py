"""The one error for input that cannot be used."""


class InputError(ValueError):
    """Input is wrong: the message names the file or name, what was found and what was expected."""


def one_of(kind: str, value, known) -> None:
    """Raise :class:`InputError` unless ``value`` is among ``known``, listing what is."""
    if value not in known:
        raise InputError(f"unknown {kind} {value!r}; known: {', '.join(map(str, known))}")
