"""Watch a folder: score every recording that appears in it, once, whatever happens in between.

The table is a journal. A line is on the disk before the next file is looked at; a file that has a
line is never scored again; a line that was cut off is removed, and its file is scored again.
"""

import csv
import io
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from asdlib.errors import InputError
from asdstudy.data.corpora import files_below
from asdstudy.data.inputs import CLIPS
from asdstudy.use.detector import Detector
from asdstudy.use.recordings import Recording, promises_length
from asdstudy.use.score import COLUMNS, in_words, row_of, saying_which

PATIENCE = 5  # polls that an unreadable file must not change in before it is called bad


class Journal:
    """The table at ``path``, open for one process until ``close()``.

    ``rows`` are those it has, by column. A last line that was cut off is removed.
    """

    def __init__(self, path: Path):
        self.path = path
        if path.is_dir():
            raise InputError(f"{path}: is a folder; expected the name of a file")
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        with saying_which(path), ExitStack() as stack:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(self._lock)
            except Timeout:
                raise InputError(f"{path}: another process writes it; expected one") from None
            self._file = stack.enter_context(path.open("a+b", buffering=0))
            self._file.seek(0)
            content = self._file.read()
            whole = content[: content.rfind(b"\n") + 1]
            self.rows = self._rows(whole)
            self._file.truncate(len(whole))
            if not whole:
                self._write(COLUMNS)
            self.close = stack.pop_all().close

    def _rows(self, content: bytes) -> list[dict]:
        """The rows of a table, by column."""
        try:
            reader = csv.reader(io.StringIO(content.decode("utf-8"), newline=""))
            lines = [(reader.line_num, line) for line in reader]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{self.path}: {error}; expected a table of asd watch") from None
        for number, line in lines:
            if len(line) != len(COLUMNS) or (number == 1 and tuple(line) != COLUMNS):
                columns = ",".join(COLUMNS)
                raise InputError(f"{self.path}: line {number}; expected the columns {columns}")
        return [dict(zip(COLUMNS, line, strict=True)) for _, line in lines[1:]]

    def add(self, row: list) -> None:
        """A row, which is on the disk when this returns."""
        with saying_which(self.path):
            self._write(row)
        self.rows.append(dict(zip(COLUMNS, map(str, row), strict=True)))

    def _write(self, row) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        self._file.write(line.getvalue().encode())
        os.fsync(self._file.fileno())


class Newcomers:
    """Which recordings below ``folder`` have appeared and are complete, poll by poll.

    ``opened`` makes a path a :class:`.Recording`, or raises InputError. A file is complete when its
    size and time of change are those of the poll before, and its header can be read and says how
    long it is. Otherwise it is perhaps being written: it is taken, or its error said, when it has
    not changed for ``patience`` polls.
    """

    def __init__(self, folder: Path, opened: Callable[[Path], Recording], patience: int = PATIENCE):
        self.folder, self.opened, self.patience = folder, opened, patience
        self.seen: dict[Path, tuple] = {}  # size and time of change
        self.polls: dict[Path, int] = {}  # in which these were the same

    def name(self, path: Path) -> str:
        """What a file is called in the table."""
        return path.relative_to(self.folder).as_posix()

    def poll(self, done: set[str]) -> Iterator[Recording]:
        """The complete ones that are not ``done``, the oldest first."""
        states = {}
        for path in files_below(self.folder):
            if path.suffix.lower() in CLIPS and self.name(path) not in done:
                try:
                    status = path.stat()
                except OSError:  # gone again
                    continue
                states[path] = (status.st_mtime_ns, status.st_size)
        for path in sorted(states, key=lambda path: (states[path], path)):
            same = self.seen.get(path) == states[path]
            self.polls[path] = self.polls[path] + 1 if same else 0
            if 0 < self.polls[path] <= self.patience:
                try:
                    if not path.name.isprintable():
                        raise InputError(f"{str(path)!r}: expected a name that can be printed")
                    recording = self.opened(path)
                except InputError as error:
                    if self.polls[path] == self.patience:
                        complain_of(error)
                else:
                    if self.polls[path] < self.patience and not promises_length(path):
                        continue
                    self.polls[path] = self.patience  # a fault of its sound is reported once
                    yield recording
        self.seen = states


def watch(
    detector: Detector,
    newcomers: Newcomers,
    journal: Journal,
    k: int = 3,
    of: int = 5,
    every: float = 1.0,
    polls: float = float("inf"),
) -> None:
    """Score what appears, with one row and one line each, and say where ``k`` of the last ``of``
    clips are above the threshold.

    It looks ``every`` so many seconds, ``polls`` times. The row of a recording in several windows
    is that of its most anomalous one.
    """
    latest = deque((row["anomalous"] == "True" for row in journal.rows), maxlen=of)
    done = {row["file"] for row in journal.rows}
    while polls > 0:
        for recording in newcomers.poll(done):
            try:
                verdicts = [
                    (start, detector.verdict(sound, recording.product))
                    for start, sound in recording.windows()
                ]
            except InputError as error:
                complain_of(error)
                continue
            start, worst = max(verdicts, key=lambda pair: (bool(pair[1].anomalous), pair[1].score))
            name = newcomers.name(recording.path)
            journal.add(row_of(Path(name), start, worst))
            done.add(name)
            latest.append(bool(worst.anomalous))
            print(in_words(recording, verdicts), flush=True)
            if sum(latest) >= k:
                print(f"ALARM: {sum(latest)} of the last {len(latest)} clips", flush=True)
        polls -= 1
        if polls > 0:
            time.sleep(every)


def complain_of(error: InputError) -> None:
    """Say what is wrong with a file, and go on."""
    print(f"error: {error}", file=sys.stderr, flush=True)
