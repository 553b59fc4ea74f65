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
    str | None,
    Option(metavar="ID", help="product ID; by default as the names of the files say"),
]
Rate = Annotated[
    float | None,
    Option(help="share of normal clips allowed above the threshold; by default the run's own"),
]
in_windows = with_options(Windows, window_seconds="--window", hop_seconds="--hop")
WINDOWS = """

    A recording that is no longer than the longest clip of the run is scored as a whole. A longer
    one is scored in windows as long as the clips usually are, unless --window and --hop set other
    ones. If nothing says which product ID a recording belongs to, it gets the smallest of the
    scores for all product IDs.
"""


def add_use(app: typer.Typer) -> None:
    """Add the commands to ``app``."""
    for command, short in (
        (score, "Score new recordings."),
        (watch, "Score what appears in a folder."),
    ):
        app.command(command.__name__, help=command.__doc__ + WINDOWS, short_help=short)(command)
    app.command("explain", short_help="Show what made a score high.")(explain)
    app.command("export", short_help="Write an encoder as an ONNX file.")(export)


@in_windows
def score(
    windows: Windows,
    run: RunFolder,
    recordings: Annotated[list[Path], Argument(metavar="RECORDING", help="files or folders")],
    out: Annotated[
        Path | None, Option(metavar="CSV", help="write a table, one row per window")
    ] = None,
    plot: Annotated[
        Path | None, Option(metavar="FOLDER", help="folder for one PNG per recording")
    ] = None,
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
    folder: Annotated[Path, Argument(metavar="FOLDER", help="the folder to watch")],
    k: Annotated[
        int, Option("--k", min=1, help="clips above the threshold that raise an alarm ...")
    ] = 3,
    of: Annotated[int, Option("--of", min=1, help="... among this many of the latest clips")] = 5,
    out: Annotated[
        Path | None, Option(metavar="CSV", help="table to write; beside FOLDER by default")
    ] = None,
    every: Annotated[float, Option(min=0.01, help="seconds between two looks at the folder")] = 1.0,
    once: Annotated[
        bool, Option("--once", help="stop once all files in the folder are scored")
    ] = False,
    product: Product = None,
    false_alarms: Rate = None,
):
    """Score every recording that appears in a folder, and say when too many are anomalous.

    A file is scored when it is complete: it has not changed between two looks, and its header can
    be read. Its row is written to the table at once. After an interruption, even a power failure,
    the same command continues where it stopped; no file is scored twice.
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
    recording: Annotated[Path, Argument(metavar="RECORDING", help="the file to explain")],
    out: Annotated[
        Path,
        Option(metavar="PNG", help="picture to write; the sound, *-anomalous.wav, goes beside it"),
    ] = Path("explained.png"),
    normal: Annotated[
        list[Path],
        Option(metavar="RECORDING", help="a normal recording to compare with; can be repeated"),
    ] = (),
    product: Product = None,
):
    """Show which seconds and frequencies of a recording made its score high.

    Patches of the spectrogram are replaced, one after the other, by what is usual at their
    frequencies in the normal recordings. If you name none, the recording itself says what is usual,
    and a sound that never stops cannot stand out. The picture shows how much the score falls
    without each patch. In the sound, the patch that contributes most keeps its level, and the
    others are turned down by up to 30 dB, so that you hear what made the score high.
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
    out: Annotated[Path, Argument(metavar="ONNX", help="the file to write, such as model.onnx")],
):
    """Write the encoder of a run as an ONNX file, from samples to embeddings.

    Its input has one segment in each row: float32 samples between -1 and 1 at 16 kHz. The file's
    metadata say how long a segment is and how many segments a clip has. This command needs the
    extra onnx.
    """
    from asdstudy.use import export as use
    from asdstudy.use.detector import Detector
    from asdstudy.use.score import whole_file

    content = use.export(Detector(run))
    with whole_file(out, binary=True) as file:
        file.write(content)
    print(f"{out}: {len(content) / 1e6:.1f} MB")
