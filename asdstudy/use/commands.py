"""The commands that use a finished run: ``asd score`` and ``asd watch``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

RunFolder = Annotated[Path, Argument(metavar="RUN", help="the folder of a finished run")]
Product = Annotated[
    str | None, Option(metavar="ID", help="of all recordings; by the file names unless named")
]
Rate = Annotated[
    float | None,
    Option(
        help="share of normal clips that may be above the threshold; the run's own unless given"
    ),
]
Window = Annotated[float | None, Option(help="seconds; see above")]
Hop = Annotated[float | None, Option(help="seconds from one window to the next; a window unless")]
Resample = Annotated[bool, Option("--resample", help="to 16 kHz, whatever the rate")]
Channel = Annotated[str | None, Option(help="which one, 0 being the first, or their mean")]
WINDOWS = """

    A recording that is no longer than the longest clip of the run is scored as a whole, a longer
    one in windows of the clips' usual length; --window and --hop say otherwise. Where nothing says
    which product ID a recording is of, its score is the smallest over all of them.
"""


def add_use(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    app.command("score", help=score.__doc__ + WINDOWS)(score)


def score(
    run: RunFolder,
    recordings: Annotated[list[Path], Argument(metavar="RECORDING...", help="files and folders")],
    out: Annotated[Path | None, Option(metavar="CSV", help="a table, one row per window")] = None,
    plot: Annotated[Path | None, Option(metavar="FOLDER", help="for a PNG per recording")] = None,
    product: Product = None,
    false_alarms: Rate = None,
    window: Window = None,
    hop: Hop = None,
    resample: Resample = False,
    channel: Channel = None,
):
    """Score new recordings with a finished run, and say which are anomalous."""
    from asdstudy.data.settings import Adoption
    from asdstudy.use import score as use
    from asdstudy.use.detector import Detector
    from asdstudy.use.recordings import recordings as opened

    detector = Detector(run, false_alarms)
    use.complain(detector.doubts)
    adoption = Adoption(resample=resample, channel=channel)
    files = opened(recordings, detector, product, window, hop, adoption)
    for recording, verdicts in use.score_recordings(
        detector, files, out, plot, sys.stderr.isatty()
    ):
        print(use.in_words(recording, verdicts), flush=True)
