"""The drone recordings from a server that holds a small archive of their shape."""

import io
import json
import re
import shlex
import zipfile
from urllib.parse import quote

import numpy as np
import pytest
import soundfile
from conftest import ODD, ROOT, asd, write_corpus
from serving import Archives, served, zipped
from test_fetch import dcase
from test_training import SMALL

from asdlib import InputError, waves
from asdstudy.data import corpora, inputs, is_corpus, uav
from asdstudy.data.settings import Recipe
from asdstudy.runs import stages as runs

PATTERNS = ("ccw_f8", "ccw_square", "cw_f8", "cw_square")
SHORT = Recipe(trim_seconds=1.0, clip_seconds=0.5)
ARCHIVE = f"/{uav.REPOSITORY}/archive/{uav.REVISION}.zip"


def flight(seed: int, seconds: float = 4.2, rate: int = 16_000, channels: int = 1) -> bytes:
    """Loud noise with silent ends, where take-off and landing would be."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, (round(seconds * rate), channels))
    noise[: rate // 2] = noise[-rate // 2 :] = 0
    soundfile.write(buffer, noise, rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def recordings(patterns=PATTERNS, seconds: float = 4.2) -> dict[str, bytes]:
    """Files as in the archive: five normal flights of every pattern, and broken ones."""
    top = f"UAV-Propeller-Anomaly-Audio-Dataset-{uav.REVISION}"
    files = {f"{top}/README.md": b"", f"{top}/paper.pdf": b""}
    folders = ["normal"] * 5
    folders += ["1_broken/0001", "1_broken/1000", "2_broken/0011", "3_4_broken/3_broken/0111"]
    for pattern in patterns:
        for seed, folder in enumerate(folders):
            number = seed % 5 + 1 if folder == "normal" else 1
            files[f"{top}/Dataset/{folder}/{pattern}/{number}/ch1.wav"] = flight(seed, seconds)
    return files


@pytest.fixture
def github():
    archives = Archives()
    archives.files[ARCHIVE] = zipped(recordings(), comment=uav.REVISION.encode())
    with served(archives):
        yield archives


def get(github, folder, recipe=SHORT, **options):
    options = {"server": github.address, "retries": 0, "progress": False} | options
    return uav.fetch_uav(folder, recipe, **options)


def test_flights_become_a_corpus(github, tmp_path):
    clips = corpora.index(get(github, tmp_path))
    counts = clips.groupby(["product", "split", "label"]).size().unstack(["split", "label"])
    assert counts.index.tolist() == ["00", "01", "02", "03"]
    each = 4  # clips of half a second, of 4.2 s without a second at both ends
    assert (counts["train", "normal"] == 4 * each).all()
    assert (counts["test", "normal"] == each).all()
    assert (counts["test", "anomaly"] == 2 * each).all()  # the flights with one broken propeller
    assert (clips.frames == 8000).all()
    facts = clips.attributes.str.extract(
        r"pattern_(?P<pattern>[a-z0-9-]+?)(?:_fault_broken-(?P<fault>\d+))?_flight_(?P<flight>\d)$"
    )
    patterns = facts.pattern.groupby(clips["product"]).unique()
    assert [list(p) for p in patterns] == [[pattern.replace("_", "-")] for pattern in PATTERNS]
    assert set(facts.fault[clips.label == "anomaly"]) == {"0001", "1000"}
    assert facts.fault[clips.label == "normal"].isna().all()
    normal = clips[clips.label == "normal"].assign(flight=facts.flight)
    assert (normal.groupby(["product", "flight"]).split.nunique() == 1).all()
    sounds = np.stack([inputs.read_clip(path) for path in clips.path]) / waves.FULL_SCALE
    assert np.sqrt((sounds**2).mean(axis=1)) == pytest.approx(SHORT.rms, rel=1e-3)


def test_the_noise_is_as_loud_as_the_recipe_says(github, tmp_path):
    """The sum of flight and noise, taken apart by the correlation with the flight."""
    for snr_db, folder in ((-3.0, "loud"), (6.0, "soft")):
        get(github, tmp_path / folder, SHORT.replace(snr_db=snr_db))
        ratios = []
        listing = tmp_path / folder / "uav" / "recordings.csv"
        for line in listing.read_text().splitlines()[1:13]:
            name, _, member, start = line.split(",")
            clip, _ = soundfile.read(tmp_path / folder / "uav" / name)
            alone, _ = soundfile.read(io.BytesIO(recordings()[member]))
            alone = alone[round(float(start) * 16_000) :][: len(clip)]
            part = alone * (clip @ alone) / (alone @ alone)
            ratios.append(10 * np.log10((part @ part) / ((clip - part) @ (clip - part))))
        assert np.mean(ratios) == pytest.approx(snr_db, abs=0.3)


def test_the_seed_makes_the_split_and_the_noise(github, tmp_path):
    def bytes_by_name(seed, folder):
        get(github, tmp_path / folder, SHORT.replace(seed=seed))
        paths = (tmp_path / folder / "uav").rglob("*.wav")
        return {path.name: path.read_bytes() for path in paths}

    first = bytes_by_name(0, "a")
    assert bytes_by_name(0, "b") == first
    other = bytes_by_name(1, "c")
    same = set(first) & set(other)
    assert len(same) and not any(first[name] == other[name] for name in same)


def test_source_is_recorded_and_a_second_call_asks_for_nothing(github, tmp_path, monkeypatch):
    get(github, tmp_path)
    source = json.loads((tmp_path / "uav" / "source.json").read_text())
    assert source["archive_commit"] == source["revision"] == uav.REVISION
    assert source["recipe"]["snr_db"] == -3.0 and len(source["archive_sha256"]) == 64
    assert not list((tmp_path / ".fetch").glob("*.zip"))
    get(github, tmp_path, server="http://127.0.0.1:9")
    assert github.requests == [ARCHIVE]
    with pytest.raises(InputError, match="uav: is there and was made otherwise"):
        get(github, tmp_path, SHORT.replace(snr_db=0.0))
    monkeypatch.setattr(uav, "GENERATOR", uav.GENERATOR + 1)  # another simulator, another noise
    with pytest.raises(InputError, match="uav: is there and was made otherwise"):
        get(github, tmp_path)


def test_a_broken_connection_is_tried_again(github, tmp_path):
    github.cut[ARCHIVE] = 1
    get(github, tmp_path, retries=1)
    assert github.requests == [ARCHIVE] * 2 and is_corpus(tmp_path, "uav")
    github.cut[ARCHIVE] = 1
    with pytest.raises(InputError, match=f"{uav.REVISION}.zip: not fetched"):
        get(github, tmp_path / "new")
    assert [p.name for p in (tmp_path / "new").rglob("*")] == [".fetch", "lock"]


TOP = f"UAV-Propeller-Anomaly-Audio-Dataset-{uav.REVISION}"
NORMAL = f"{TOP}/Dataset/normal/cw_f8/1/ch1.wav"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"<html>", "what came is no whole zip"),
        (zipped(recordings())[:-30], "what came is no whole zip"),
        (zipped(recordings(), comment=b"0" * 40), f"is of commit 0{{40}}; expected {uav.REVISION}"),
        (zipped({"a/README.md": b""}), "no recordings in it"),
        (zipped(recordings() | {"../ch1.wav": b""}), "out of the folder; refused"),
        (zipped(recordings() | {f"{TOP}/Dataset/ch1.wav": b""}), "ch1.wav does not parse"),
        (zipped(recordings() | {NORMAL: b""}), "cw_f8/1/ch1.wav: an empty file"),
        (
            zipped(recordings() | {NORMAL: flight(0, rate=44_100)}),
            "ch1.wav: sample rate 44100 Hz; expected",
        ),
        (
            zipped(recordings() | {NORMAL: flight(0, channels=2)}),
            "ch1.wav: 2 channels; expected one",
        ),
        (zipped({NORMAL: flight(0)}), "cw-f8: 1 normal recordings; expected at least 2"),
    ],
)
def test_an_archive_that_cannot_be_used_leaves_nothing(github, tmp_path, content, message):
    github.files[ARCHIVE] = content
    with pytest.raises(InputError, match=message):
        get(github, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".fetch"]


def test_a_damaged_archive_is_not_kept(github, tmp_path):
    whole = zipped(recordings(), comment=uav.REVISION.encode(), compression=zipfile.ZIP_DEFLATED)
    damaged = bytearray(whole)
    for start in range(2000, len(whole) // 2, 500):  # in the streams, not in the list of members
        damaged[start : start + 8] = b"\xff" * 8
    end = bytearray(whole)
    end[whole.rindex(b"PK\x01\x02") : whole.rindex(b"PK\x01\x02") + 4] = b"XXXX"
    for content, message in (
        (damaged, "a wrong or broken zip came: "),
        (end, "no zip that can be read"),
    ):
        github.files[ARCHIVE] = bytes(content)
        with pytest.raises(InputError, match=message):
            get(github, tmp_path)
        assert not list(tmp_path.rglob("*.zip"))
    github.files[ARCHIVE] = whole
    assert len(corpora.index(get(github, tmp_path)))


def test_flights_that_are_too_short_or_silent(github, tmp_path):
    with pytest.raises(InputError, match="no flight is long enough"):
        get(github, tmp_path, SHORT.replace(trim_seconds=3.0))
    with pytest.raises(InputError, match="is silent from sample 0"):
        get(github, tmp_path, SHORT.replace(trim_seconds=0.0))
    github.files[ARCHIVE] = zipped(recordings() | {NORMAL: flight(0, seconds=2.2)})
    with pytest.warns(UserWarning, match="1 flights are too short.*cw_f8/1"):
        with pytest.warns(UserWarning, match="does not say of which commit"):
            get(github, tmp_path / "new")


def test_another_machine_type_beside_it(github, tmp_path):
    other = write_corpus(tmp_path / "other", ("fan",), products=1)
    folder = get(github, tmp_path / "data", beside=[other / "fan"])
    assert sorted(corpora.index(folder).machine_type.unique()) == ["fan", "uav"]
    get(github, folder, beside=[other / "fan"])  # again: nothing to do
    with pytest.raises(InputError, match="no train/ in it; expected the folder of a machine type"):
        get(github, folder, beside=[other])
    more = write_corpus(tmp_path / "more", ("fan",), products=1)
    with pytest.raises(InputError, match="data/fan: is there already"):
        get(github, folder, beside=[more / "fan"])


@pytest.mark.parametrize("branch", ["a/b-c", "a-b/c", "50% off #1"])
def test_folder_and_branch_may_have_any_name(github, tmp_path, branch):
    """And the archives of two branches are two files."""
    archive = f"/{uav.REPOSITORY}/archive/{quote(branch)}.zip"
    github.files[archive] = github.files[ARCHIVE]
    other = write_corpus(tmp_path / "other", (ODD,), products=1) / ODD
    options = {"beside": [other], "revision": branch, "keep_zip": True}
    folder = get(github, tmp_path / ODD, **options)
    assert sorted(corpora.index(folder).machine_type.unique()) == [ODD, "uav"]
    assert github.requests == [archive]
    assert (folder / ".fetch" / f"{quote(branch, safe='')}.zip").exists()


def test_command(github, tmp_path, capsys):
    github.files[ARCHIVE] = zipped(recordings(["cw_f8"], 12.5), comment=uav.REVISION.encode())
    words = ["--trim-seconds", "1", "--broken", "1,3", "--seed", "3"]
    asd("fetch", "uav", tmp_path, "--server", github.address, *words)
    said = capsys.readouterr().out
    assert said.startswith(str(tmp_path)) and "No other machine type is beside it" in said
    clips = corpora.index(tmp_path)
    faults = clips.attributes.str.extract(r"broken-(\d+)", expand=False).dropna()
    assert set(faults) == {"0001", "1000", "0111"} and (clips.frames == 160_000).all()


def test_the_chapter_works_word_by_word(tmp_path, monkeypatch):
    """Each fetch that it shows, in its order, and scores of the drone with and without the fan."""
    chapter = (ROOT / "book" / "own-data.md").read_text()
    chapter = chapter.split("## How to get the drone recordings")[1].split("\n## ")[0]
    commanded = re.findall(r"^\$ asd (fetch .*)$", chapter, re.MULTILINE)
    assert [words.split()[1] for words in commanded] == ["uav", "dcase2021", "uav"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASDLIB_ROOT", str(tmp_path))
    archives = dcase(("fan",), train=4)
    flights = recordings(PATTERNS[:2], seconds=31.0)
    archives.files[ARCHIVE] = zipped(flights, comment=uav.REVISION.encode())
    results = []
    with served(archives) as server:
        for words in commanded:
            asd(*shlex.split(words), "--server", server.address)
            if words.split()[1] == "uav":
                variant = "proposed" if "--beside" in words else "product-only"
                run = runs.execute("uav", "uav", variant, progress=False, **SMALL | {"epochs": 1})
                results.append(run.result())
    assert server.requests.count(ARCHIVE) == 1
    clips = corpora.index(tmp_path / "data" / "uav")
    assert sorted(clips.machine_type.unique()) == ["fan", "uav"]
    assert np.isfinite(results).all() and len(results) == 2
