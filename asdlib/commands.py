"""The commands of ``python -m asdlib.corpora``: fetch, describe and adopt corpora."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from asdlib import corpora
from asdlib.errors import InputError
from asdlib.paper import MACHINE_TYPES


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; an :class:`InputError` becomes one sentence and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m asdlib.corpora",
        description="Get, look into and make corpora: trees of clips that the notebooks read.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fetch(commands)
    _add_describe(commands)
    given = vars(parser.parse_args(arguments))
    run = given.pop("run")
    try:
        run(**given)
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; what is finished stays, and the same command goes on")


def _add_fetch(commands) -> None:
    fetch = commands.add_parser(
        "fetch", help="download a public corpus", description="Download a public corpus."
    )
    corpus = fetch.add_subparsers(required=True, metavar="CORPUS")

    dcase = corpus.add_parser(
        "dcase2021",
        help="the paper's data, from Zenodo",
        description="Fetch DCASE 2021 Task 2 from Zenodo: sections 00 to 05 in one tree, labelled.",
    )
    dcase.add_argument("folder", nargs="?", type=Path, help="where to (default: data/dcase2021)")
    dcase.add_argument(
        "--machine-types",
        type=lambda words: words.split(","),
        default=MACHINE_TYPES,
        metavar="TYPE,...",
        help=f"all of {','.join(MACHINE_TYPES)} unless named",
    )
    dcase.add_argument("--workers", type=int, default=4, help="zips side by side (%(default)s)")
    dcase.add_argument("--keep-zips", action="store_true", help="do not delete unpacked zips")
    dcase.add_argument(
        "--server", default="https://zenodo.org", help="Zenodo, or a mirror of it (%(default)s)"
    )
    dcase.set_defaults(run=_fetch_dcase2021)


def _fetch_dcase2021(**given) -> None:
    from asdlib.fetch import fetch

    _show(fetch(**given))


def _add_describe(commands) -> None:
    describe = commands.add_parser(
        "describe",
        help="count the clips of a folder, and list what cannot be used",
        description="Count the clips below a folder by machine type, product ID, domain, split "
        "and label, and list every file that could not be placed, with the reason.",
    )
    describe.add_argument("folder", type=Path, metavar="DIR", help="the folder of a corpus")
    describe.set_defaults(run=_describe)


def _describe(folder: Path) -> None:
    from asdlib.describe import describe

    print(describe(folder))


def _show(folder: Path) -> None:
    print(f"{folder}:\n{corpora.summary(corpora.index(folder)).to_string()}")
