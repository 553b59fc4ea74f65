"""Watching a folder: complete files only, once each, and no line lost by a kill."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import soundfile
from conftest import ROOT, asd, write_clip, write_corpus
from test_score import execute, refused, stored

from asdlib import InputError
from asdstudy.use.detector import Detector
from asdstudy.use.recordings import recordings
from asdstudy.use.score import COLUMNS
from asdstudy.use.watch import Journal, Newcomers, watch

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p", "ignore:collapse")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("c") / "corpus")


@pytest.fixture(scope="module")
def run(noise, tmp_path_factory):
    return execute(noise, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def detector(run):
    return Detector(run.folder)


@pytest.fixture
def clips(noise) -> list[Path]:
    return sorted((noise / "pump" / "source_test").glob("*.wav"))


@pytest.fixture
def newcomers(tmp_path, detector):
    (tmp_path / "in").mkdir()
    return Newcomers(tmp_path / "in", lambda path: recordings([path], detector)[0])


def names(recorded) -> list[str]:
    return [recording.path.name for recording in recorded]


def test_a_file_is_taken_when_it_does_not_change_any_more(tmp_path, clips, newcomers, capsys):
    """A recorder writes it in two pieces, with a pause that is no longer than its header allows."""
    content, path = clips[0].read_bytes(), tmp_path / "in" / "section_00_a.wav"
    path.write_bytes(content[:20_000])
    assert names(newcomers.poll(set())) == []  # seen for the first time
    assert names(newcomers.poll(set())) == []  # as it was, but its header promises more
    with path.open("ab") as file:
        file.write(content[20_000:])
    assert names(newcomers.poll(set())) == []  # changed
    assert names(newcomers.poll(set())) == ["section_00_a.wav"]
    assert names(newcomers.poll(set())) == []  # no second time
    assert capsys.readouterr().err == ""


def test_a_file_that_does_not_say_how_long_it_is_may_be_being_written(tmp_path, clips, newcomers):
    """So does a recorder that fills in the length at the end; one into a pipe never does."""
    content = bytearray(clips[0].read_bytes())
    assert content[36:40] == b"data"
    content[40:44] = bytes(4)
    (tmp_path / "in" / "a.wav").write_bytes(content)
    taken = [names(newcomers.poll(set())) for _ in range(8)]
    assert taken == [[]] * 5 + [["a.wav"]] + [[]] * 2


def test_the_oldest_comes_first_and_what_is_done_never(tmp_path, clips, newcomers):
    for number, clip in enumerate(clips[:3]):
        copy = shutil.copyfile(clip, tmp_path / "in" / clip.name)
        os.utime(copy, (1000 - number,) * 2)
    (tmp_path / "in" / "notes.txt").write_text("no recording")
    write_clip(tmp_path / "in" / ".hidden.wav")
    list(newcomers.poll(set()))
    expected = [clip.name for clip in clips[:3]][::-1]
    assert names(newcomers.poll({expected[1]})) == [expected[0], expected[2]]


def test_what_stays_unreadable_is_said_once(tmp_path, newcomers, capsys):
    (tmp_path / "in" / "bad.wav").write_bytes(b"no sound at all")
    for _ in range(10):
        assert names(newcomers.poll(set())) == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {tmp_path / 'in' / 'bad.wav'}: not audio")
    write_clip(tmp_path / "in" / "bad.wav")  # mended
    assert [names(newcomers.poll(set())) for _ in range(2)] == [[], ["bad.wav"]]


def rows(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_bad_sound_is_said_once_and_stops_nothing(tmp_path, clips, newcomers, detector, capsys):
    soundfile.write(tmp_path / "in" / "silent.wav", [0.0] * 20_000, 16_000)
    shutil.copyfile(clips[0], tmp_path / "in" / clips[0].name)
    journal = Journal(tmp_path / "t.csv")
    watch(detector, newcomers, journal, every=0.01, polls=6)
    journal.close()
    assert [row["file"] for row in rows(tmp_path / "t.csv")] == [clips[0].name]
    said = capsys.readouterr()
    assert said.err.count("silent.wav: silent") == 1 and len(said.out.splitlines()) == 1


def test_an_alarm_is_k_of_the_last_n_clips_also_of_an_earlier_watch(
    tmp_path, clips, newcomers, detector, capsys, monkeypatch
):
    """Above, below, above, above: two of the last three at the third and the fourth."""
    monkeypatch.setattr(detector, "thresholds", {"00": -1e9, "01": 1e9})
    above, below = clips[:4], clips[4:]
    assert "section_00" in above[3].name and "section_01" in below[0].name
    for number, clip in enumerate([above[0], below[0], above[1], above[2]]):
        os.utime(shutil.copyfile(clip, tmp_path / "in" / clip.name), (1000 + number,) * 2)
    journal = Journal(tmp_path / "t.csv")
    watch(detector, newcomers, journal, k=2, of=3, every=0.01, polls=3)
    journal.close()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "ALARM" in line] == ["ALARM: 2 of the last 3 clips"] * 2
    assert "ALARM" in lines[3] and "ALARM" in lines[5]
    shutil.copyfile(above[3], tmp_path / "in" / above[3].name)
    journal = Journal(tmp_path / "t.csv")
    watch(detector, newcomers, journal, k=3, of=3, every=0.01, polls=3)
    journal.close()
    assert capsys.readouterr().out.splitlines()[-1] == "ALARM: 3 of the last 3 clips"


def test_a_recording_in_windows_has_one_row_its_most_anomalous_window(
    tmp_path, clips, newcomers, detector
):
    sound = [soundfile.read(clip, dtype="int16")[0] for clip in clips[:4]]
    soundfile.write(tmp_path / "in" / "id_00_1.wav", [v for part in sound for v in part], 16_000)
    journal = Journal(tmp_path / "t.csv")
    watch(detector, newcomers, journal, every=0.01, polls=2)
    journal.close()
    (row,) = rows(tmp_path / "t.csv")
    verdicts = [detector.verdict(part, "00") for part in sound]
    best = max(range(4), key=lambda number: verdicts[number].score)
    assert float(row["start_seconds"]) == 1.5 * best
    assert float(row["score"]) == verdicts[best].score


def test_a_line_that_was_cut_off_is_removed(tmp_path):
    journal = Journal(tmp_path / "t.csv")
    for name in ("a, b.wav", "ü.wav"):
        journal.add([name, 0.0, "00", 1.5, 2.0, False])
    journal.close()
    whole = (tmp_path / "t.csv").read_bytes()
    for cut in range(1, len(whole) + 1):
        (tmp_path / "t.csv").write_bytes(whole[:cut])
        journal = Journal(tmp_path / "t.csv")
        journal.close()
        kept = whole[:cut][: whole[:cut].rfind(b"\n") + 1] or whole[: whole.find(b"\n") + 1]
        assert (tmp_path / "t.csv").read_bytes() == kept
        assert [row["file"] for row in journal.rows] == ["a, b.wav", "ü.wav"][
            : kept.count(b"\n") - 1
        ]


def test_a_table_of_something_else_is_refused(tmp_path):
    for text, line in (("a,b\n1,2", 1), (",".join(COLUMNS) + "\nx,1\n", 2)):
        (tmp_path / "t.csv").write_text(text)
        with pytest.raises(
            InputError, match=f"t.csv: line {line}; expected the columns file,start"
        ):
            Journal(tmp_path / "t.csv")
        assert (tmp_path / "t.csv").read_text() == text
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="t.csv: .*expected a table of asd watch"):
        Journal(tmp_path / "t.csv")


def test_one_process_writes_a_table(tmp_path):
    journal = Journal(tmp_path / "t.csv")
    with pytest.raises(InputError, match="t.csv: another process writes it"):
        Journal(tmp_path / "t.csv")
    journal.close()
    Journal(tmp_path / "t.csv").close()


def test_what_is_there_once(run, clips, tmp_path, capsys):
    """The table is beside the folder; the scores are those of the run, to the bit."""
    for clip in clips:
        (tmp_path / "in" / "today").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(clip, tmp_path / "in" / "today" / clip.name)
    (tmp_path / "in" / "bad.wav").write_bytes(b"no sound at all")
    for _ in range(2):
        asd("watch", run.folder, tmp_path / "in", "--once", "--every", "0.05")
    table = rows(tmp_path / "in.csv")
    assert {Path(row["file"]).name: float(row["score"]) for row in table} == stored(run)
    assert len(table) == len(clips) and table[0]["file"].startswith("today/section_0")
    assert len(re.findall("error: .*bad.wav", capsys.readouterr().err)) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: cannot be read"),
        (["in", "--k", "4", "--of", "3"], "in: an alarm at 4 of 3 clips"),
        (["in", "--hop", "0"], "hop_seconds is 0.0"),
        (["in", "--product", "9", "--once"], "unknown product ID of .*'9'"),
        (["in", "--false-alarms", "2"], "false alarms 2.0"),
        (["in", "--out", "in"], "in: is a folder; expected"),
    ],
    ids=" ".join,
)
def test_a_bad_option_is_one_line(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert re.search(message, refused("watch", run.folder, *words))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


HALF_A_LINE = """
import os, signal
from asdstudy.cli import app
from asdstudy.use.watch import Journal
write = Journal._write

def half(self, row):
    if len(self.rows) == 2:
        self._file.write(b"section_00_source_te")
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, row)

Journal._write = half
app()
"""


def started(*words, code=None):
    python = ["-c", code] if code else ["-m", "asdstudy"]
    return subprocess.Popen(
        [sys.executable, *python, "watch", *map(str, words)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.slow
def test_a_killed_watch_loses_no_line_and_scores_no_file_twice(run, clips, tmp_path):
    """SIGKILL in the middle of the third line, then as soon as there are lines of new files."""
    folder, table = tmp_path / "in", tmp_path / "t.csv"
    folder.mkdir()
    for number, clip in enumerate([*clips] * 5):
        shutil.copyfile(clip, folder / f"{clip.stem}_{number}.wav")
    words = (run.folder, folder, "--out", table, "--every", "0.05")
    assert started(*words, code=HALF_A_LINE).wait() == -signal.SIGKILL
    assert not table.read_bytes().endswith(b"\n")
    before = table.read_bytes()
    for wanted in (9, 20):  # lines, the header among them
        process = started(*words)
        try:
            while table.read_bytes().count(b"\n") < wanted and process.poll() is None:
                time.sleep(0.01)
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL
        now = table.read_bytes()
        whole = before[: before.rfind(b"\n") + 1]
        assert now.startswith(whole) and now.count(b"\n") >= wanted
        before = now
    assert len(rows(table)) < 40  # it was killed at work
    process = started(*words, "--once")
    assert process.wait() == 0
    scored = rows(table)
    assert table.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert sorted(row["file"] for row in scored) == sorted(path.name for path in folder.iterdir())
    for row in scored:
        name = re.sub(r"_\d+\.wav$", ".wav", row["file"])
        assert float(row["score"]) == stored(run)[name]
