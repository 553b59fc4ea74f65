"""Score recordings: a table with one row per window, and one line and one picture per file."""

import csv
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tqdm import tqdm

from asdlib.errors import InputError
from asdstudy import paths
from asdstudy.use.detector import Detector, Verdict
from asdstudy.use.plot import Picture
from asdstudy.use.recordings import Recording

COLUMNS = ("file", "start_seconds", "product", "score", "threshold", "anomalous")


def row_of(path: Path, start: float, verdict: Verdict) -> list:
    """A row of the table; the numbers to the bit."""
    values = (start, verdict.product, verdict.score, verdict.threshold, verdict.anomalous)
    return [str(path), *("" if value is None else value for value in values)]


def score_recordings(
    detector: Detector,
    recordings: Sequence[Recording],
    out: Path | None = None,
    plot: Path | None = None,
    progress: bool = True,
) -> Iterator[tuple[Recording, list[tuple[float, Verdict]]]]:
    """Score one recording after the other: each with start in seconds and verdict of its windows.

    ``out`` is a CSV file with the columns ``COLUMNS``, one row per window; ``plot`` is a folder
    with one PNG per recording. Both are there when everything is scored, or not at all.
    """
    with ExitStack() as stack:
        table = csv.writer(stack.enter_context(whole_file(out))) if out else None
        pictures = stack.enter_context(whole_files(plot)) if plot else None
        if table:
            table.writerow(COLUMNS)
        count = sum(len(recording.starts) for recording in recordings)
        bar = stack.enter_context(
            tqdm(total=count, unit="window", desc="scoring", delay=1, disable=not progress)
        )
        for number, recording in enumerate(recordings, start=1):
            picture, verdicts = Picture(detector, recording) if plot else None, []
            for start, sound in recording.windows():
                verdict = detector.verdict(sound, recording.product)
                verdicts.append((start, verdict))
                if table:
                    table.writerow(row_of(recording.path, start, verdict))
                if picture:
                    picture.add(start, sound, verdict)
                bar.update()
            if picture:
                png = pictures / f"{recording.path.stem}.png"
                picture.save(png.with_stem(f"{png.stem}-{number}") if png.exists() else png)
            yield recording, verdicts


def in_words(recording: Recording, verdicts: list[tuple[float, Verdict]]) -> str:
    """One line about the windows of a recording."""
    start, highest = max(verdicts, key=lambda pair: pair[1].score)
    words = f"{recording.path}: product {highest.product}"
    words += " (not known: the smallest score of all)" if recording.product is None else ""
    words += f", score {highest.score:.4g}"
    words += f" at {start:g} s" if len(verdicts) > 1 else ""
    if highest.threshold is None:
        return f"{words}, no threshold"
    words += f", threshold {highest.threshold:.4g}: "
    if len(verdicts) == 1:
        return words + ("ANOMALOUS" if highest.anomalous else "normal")
    count = sum(bool(verdict.anomalous) for _, verdict in verdicts)
    return words + f"{count} of {len(verdicts)} windows ANOMALOUS" if count else words + "normal"


@contextmanager
def whole_file(path: Path, binary: bool = False):
    """``with whole_file(path) as file:`` what is written is at ``path`` when all of it is there."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected the name of a file")
    form = {"mode": "wb"} if binary else {"mode": "w", "newline": "", "encoding": "utf-8"}
    with saying_which(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with paths.replacing(path) as part, part.open(**form) as file:
            yield file


@contextmanager
def whole_files(folder: Path):
    """``with whole_files(folder) as part:`` the files of ``part`` go to ``folder`` at the end."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; expected the name of a folder")
    part = paths.own_part(folder)
    with saying_which(folder):
        part.mkdir(parents=True)
        try:
            yield part
            folder.mkdir(exist_ok=True)
            for file in part.iterdir():
                file.replace(folder / file.name)
        finally:
            shutil.rmtree(part)


@contextmanager
def saying_which(path: Path):
    """An OSError inside becomes an :class:`InputError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


def complain(sentences: Sequence[str]) -> None:
    """Say on the standard error output what is doubtful."""
    for sentence in sentences:
        print(f"warning: {sentence}", file=sys.stderr)
