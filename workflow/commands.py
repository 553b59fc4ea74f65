"""Write the page of the book with the help of every command: ``python workflow/commands.py``."""

import re
from pathlib import Path

import click
import typer

from asdstudy.cli import app

PAGE = Path(__file__).parents[1] / "book/commands.md"
WIDTH = 71  # characters that the page shows in a line
INTRO = """(commands)=
# Commands

Corpora, runs and scores need no notebook: `asd` makes, fetches and describes corpora, including
those of your own recordings; it makes a run in one go or stage by stage; and it scores new
recordings with a run. `make install`, `make book` and `make test` put it at `.venv/bin/asd`; after
`. .venv/bin/activate` the shell finds it. This page shows the `--help` of each command. The
chapters {doc}`own-data`, {doc}`use-it` and {doc}`rerun` use the commands.
"""


def helps(command: click.Command, words: tuple[str, ...] = ("asd",)):
    """The words of every command and its help, groups first."""
    context = command.context_class(command, info_name=" ".join(words), terminal_width=WIDTH)
    yield " ".join(words), command.get_help(context)
    for name, part in getattr(command, "commands", {}).items():
        yield from helps(part, (*words, name))


def page() -> str:
    """The Markdown of the page."""
    parts = [INTRO]
    for words, text in helps(typer.main.get_command(app)):
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        parts.append(f"## {words}\n\n```text\n{lines}\n```\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts))


if __name__ == "__main__":
    PAGE.write_text(page())
