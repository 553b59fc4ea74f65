"""The commands that use a finished run: ``asd score``, ``watch``, ``explain`` and ``export``."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from asdstudy.data.settings import Windows
from asdstudy.options import with_options

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
in_windows = with_options(Windows, window_seconds="--window", hop_seconds="--hop")
WINDOWS = """

    A recording that is no longer than the longest clip of the run is scored as a whole, a longer
    one in windows of the clips' usual length; --window and --hop say otherwise. Where nothing says
    which product ID a recording is of, its score is the smallest over all of them.
"""


def add_use(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command in (score, watch):
        app.command(command.__name__, help=command.__doc__ + WINDOWS)(command)
    app.command("explain")(explain)
    app.command("export")(export)


@in_windows
def score(
    windows: Windows,
    run: RunFolder,
    recordings: Annotated[list[Path], Argument(metavar="RECORDING...", help="files and folders")],
    out: Annotated[Path | None, Option(metavar="CSV", help="a table, one row per window")] = None,
    plot: Annotated[Path | None, Option(metavar="FOLDER", help="for a PNG per recording")] = None,
    product: Product = None,
    false_alarms: Rate = None,
):
    """Score new recordings with a finished run, and say which are anomalous."""
    from asdstudy.use import score as use
    from asdstudy.use.detector import Detector
    from asdstudy.use.recordings import recordings as opened

    detector = Detector(run, false_alarms)
    use.complain(detector.doubts)
    files = opened(recordings, detector, product, windows)
    for recording, verdicts in use.score_recordings(
        detector, files, out, plot, sys.stderr.isatty()
    ):
        print(use.in_words(recording, verdicts), flush=True)


@in_windows
def watch(
    windows: Windows,
    run: RunFolder,
    folder: Annotated[Path, Argument(metavar="FOLDER", help="where recordings appear")],
    k: Annotated[int, Option("--k", min=1, help="so many clips above the threshold ...")] = 3,
    of: Annotated[int, Option("--of", min=1, help="... of the last so many are an alarm")] = 5,
    out: Annotated[
        Path | None, Option(metavar="CSV", help="the table; beside FOLDER unless named")
    ] = None,
    every: Annotated[float, Option(min=0.01, help="seconds between two looks")] = 1.0,
    once: Annotated[bool, Option("--once", help="end when what is there is scored")] = False,
    product: Product = None,
    false_alarms: Rate = None,
):
    """Score every recording that appears in a folder, and say when too many are anomalous.

    A file is scored when it is complete: unchanged between two looks, with a header that can be
    read. Each gets one row in the table, which is on the disk at once. After an interruption, even
    a power failure, the same command goes on: no file is scored twice.
    """
    from asdlib.errors import InputError
    from asdstudy.data.corpora import inside
    from asdstudy.use import watch as use
    from asdstudy.use.detector import Detector
    from asdstudy.use.recordings import recordings as opened
    from asdstudy.use.score import complain

    if k > of:
        raise InputError(f"{folder}: an alarm at {k} of {of} clips; expected no more than {of}")
    inside(folder)  # raises where it is no folder
    place = folder.resolve()
    detector = Detector(run, false_alarms)
    opened([], detector, product, windows)  # raises where they are wrong, as the next does
    detector.product_of(folder, product or detector.products[0])
    complain(detector.doubts)

    def one(path: Path):
        return opened([path], detector, product, windows)[0]

    newcomers = use.Newcomers(folder, one, 1 if once else use.PATIENCE)
    journal = use.Journal(out or place.with_name(f"{place.name}.csv"))
    try:
        use.watch(detector, newcomers, journal, k, of, every, 2 if once else float("inf"))
    finally:
        journal.close()


@in_windows
def explain(
    windows: Windows,
    run: RunFolder,
    recording: Annotated[Path, Argument(metavar="RECORDING", help="a file")],
    out: Annotated[
        Path, Option(metavar="PNG", help="the picture; beside it the sound, *-anomalous.wav")
    ] = Path("explained.png"),
    normal: Annotated[
        list[Path],
        Option(metavar="RECORDING", help="normal ones to compare with; may be repeated"),
    ] = (),
    product: Product = None,
):
    """Show which seconds and frequencies of a recording made its score high.

    Patches of the spectrogram are replaced, one after the other, by what is usual at their
    frequencies: in the normal recordings, or else in the recording itself, and then a sound that
    never stops cannot stand out. The picture shows how much the score falls without each patch. In
    the sound, explained-anomalous.wav, you hear what made the score high: the clip with all other
    patches turned down, by up to 30 dB.
    """
    import soundfile

    from asdlib.errors import InputError
    from asdlib.profiles import SAMPLE_RATE
    from asdstudy.use import explain as use
    from asdstudy.use.detector import Detector
    from asdstudy.use.recordings import recordings as opened
    from asdstudy.use.score import whole_file

    if recording.is_dir():
        raise InputError(f"{recording}: is a folder; expected a recording")
    detector = Detector(run)
    (one,) = opened([recording], detector, product, windows)
    others = opened(normal, detector, product, windows)
    wav = out.with_name(f"{out.stem}-anomalous.wav")
    with whole_file(out, binary=True) as picture, whole_file(wav, binary=True) as sound:
        explanation = use.explain(detector, one, others, sys.stderr.isatty())
        use.draw(explanation, detector, recording.name, picture)
        soundfile.write(sound, use.audible(explanation), SAMPLE_RATE, format="WAV")
    print(explanation.in_words(one))


def export(
    run: RunFolder,
    out: Annotated[Path, Argument(metavar="ONNX", help="the file to write, as in model.onnx")],
):
    """Write the encoder of a run as an ONNX file, from samples to embeddings.

    Its input is float32 samples within -1 and 1 at 16 kHz, one segment in each row. The metadata of
    the file say how long a segment is and how many a clip has. Needs the extra `onnx`.
    """
    from asdstudy.use import export as use
    from asdstudy.use.detector import Detector
    from asdstudy.use.score import whole_file

    content = use.export(Detector(run))
    with whole_file(out, binary=True) as file:
        file.write(content)
    print(f"{out}: {len(content) / 1e6:.1f} MB")
