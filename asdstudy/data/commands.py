"""The commands of ``python -m asdstudy.data``: fetch, describe and adopt corpora."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from asdlib.corpora import index
from asdlib.errors import InputError
from asdstudy.data import summary
from asdstudy.report.paper import MACHINE_TYPES


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; an :class:`InputError` becomes one sentence and exit status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m asdstudy.data",
        description="Get, look into and make corpora: trees of clips that the notebooks read.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fetch(commands)
    _add_describe(commands)
    _add_adopt(commands)
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
    dcase.add_argument(
        "--workers", type=_whole(1), default=4, help="zips side by side (%(default)s)"
    )
    dcase.add_argument("--keep-zips", action="store_true", help="do not delete unpacked zips")
    dcase.add_argument(
        "--server", default="https://zenodo.org", help="Zenodo, or a mirror of it (%(default)s)"
    )
    dcase.set_defaults(run=_fetch_dcase2021)

    uav = corpus.add_parser(
        "uav",
        help="drones with broken propellers, from GitHub",
        description="Fetch the UAV Propeller Anomaly Audio Dataset from GitHub, and cut it to "
        "clips with noise, split by flight. GitHub publishes no checksums: source.json beside the "
        "clips keeps the commit and the SHA-256 of what came.",
    )
    uav.add_argument("folder", nargs="?", type=Path, help="where to (default: data/uav)")
    _add_beside(uav)
    uav.add_argument("--seed", type=_whole(0), default=0, help="of split and noise (%(default)s)")
    uav.add_argument("--snr-db", type=float, default=-3.0, help="flight over noise (%(default)s)")
    uav.add_argument(
        "--trim-seconds",
        type=float,
        default=10.0,
        help="left out at both ends of a flight, take-off and landing (%(default)s)",
    )
    uav.add_argument(
        "--broken",
        type=lambda words: tuple(map(_whole(1), words.split(","))),
        default=(1,),
        metavar="NUMBER,...",
        help="how many broken propellers the anomalous flights have (1)",
    )
    uav.add_argument("--revision", help="commit or branch (default: a commit known to be whole)")
    uav.add_argument("--keep-zip", action="store_true", help="do not delete the archive")
    uav.add_argument("--server", default="https://github.com", help="or a mirror (%(default)s)")
    uav.set_defaults(run=_fetch_uav)


def _fetch_dcase2021(**given) -> None:
    from asdstudy.data.fetch import fetch

    _show(fetch(**given))


def _fetch_uav(seed, snr_db, trim_seconds, broken, revision, **given) -> None:
    from asdstudy.data.uav import REVISION, Recipe, fetch_uav

    recipe = Recipe(seed=seed, snr_db=snr_db, trim_seconds=trim_seconds, broken=broken)
    _show(fetch_uav(recipe=recipe, revision=revision or REVISION, **given))


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
    from asdstudy.data.describe import describe

    print(describe(folder))


def _add_adopt(commands) -> None:
    adopt = commands.add_parser(
        "adopt",
        help="make a corpus of your own recordings",
        description="Make the machine type NAME of the corpus OUT from recordings sorted into "
        "FOLDER/<product>/normal/ and, where there are any, FOLDER/<product>/anomaly/. Files in a "
        "folder below normal/ are parts of one recording. It is written whole or not at all, and "
        "nothing is converted unless an option asks for it.",
    )
    adopt.add_argument("folder", type=Path, metavar="FOLDER", help="your recordings")
    adopt.add_argument("out", type=Path, metavar="OUT", help="the corpus, new or to be added to")
    adopt.add_argument("--machine-type", required=True, metavar="NAME", help="what they are of")
    adopt.add_argument("--resample", action="store_true", help="to 16 kHz, whatever the rate")
    adopt.add_argument("--channel", help="which one to take, 0 being the first, or their mean")
    adopt.add_argument(
        "--cut",
        type=float,
        metavar="SECONDS",
        help="cut recordings to clips of this length; a shorter rest at the end is left out",
    )
    adopt.add_argument(
        "--test-share",
        type=float,
        default=0.2,
        help="of the normal recordings of each product (%(default)s)",
    )
    adopt.add_argument("--seed", type=_whole(0), default=0, help="of the split (%(default)s)")
    _add_beside(adopt)
    adopt.set_defaults(run=_adopt)


def _adopt(resample, channel, cut, **given) -> None:
    from asdstudy.data.adopt import Conversion, adopt

    _show(adopt(conversion=Conversion(resample, channel, cut), **given))


def _add_beside(parser) -> None:
    parser.add_argument(
        "--beside",
        type=Path,
        action="append",
        default=[],
        metavar="DIR/TYPE",
        help="link another corpus's machine type into this one, for L_machine; may be repeated",
    )


def _whole(least: int):
    """A reader of whole numbers from ``least`` on."""

    def read(word: str) -> int:
        if not word.isdecimal() or int(word) < least:
            raise argparse.ArgumentTypeError(f"{word!r}; expected a whole number from {least} on")
        return int(word)

    return read


def _show(folder: Path) -> None:
    clips = index(folder)
    print(f"{folder}:\n{summary(clips).to_string()}")
    if clips.machine_type.nunique() == 1:
        print("No other machine type is beside it: L_machine has no negatives; see --beside.")
