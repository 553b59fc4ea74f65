"""Words of what the commands print and the pages say."""


def counted(number: int, noun: str) -> str:
    """A number and what it counts, as in "1 run" and "2 runs"."""
    return f"{number} {noun}" + "s" * (number != 1)
