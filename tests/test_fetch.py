"""Fetching DCASE 2021 from a server on this computer: what is unpacked, resumed and refused."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import threading
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from conftest import ODD, ROOT, asd
from serving import Archives, served, zipped

from asdlib import InputError
from asdstudy.data import corpora, downloads, fetch
from asdstudy.data.machines import MACHINE_TYPES
from asdstudy.runs.run import Run

DEV, TRAIN, TEST, TRUTH = "4562016", "4660992", "4884786", "5257674"
TRUTH_ZIP = "someone/dcase2021_task2_evaluator-v1.zip"  # as of a release on GitHub


def sound(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, 4000)
    soundfile.write(buffer, noise, 16_000, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def clip_zip(
    machine_type: str, sections, folders, labels=("normal", "anomaly"), train: int = 1
) -> bytes:
    """A zip as on Zenodo: a clip for each section, folder, domain and label, ``train`` to train."""
    files = {}
    for section in sections:
        for folder in folders:
            split = folder.split("_")[-1]
            domains = ("source", "target") if split == "train" else (folder.split("_")[0],)
            for domain in domains:
                names = ("normal",) * train if split == "train" else labels
                for number, label in enumerate(names):
                    word = f"_{label}" if label else ""
                    name = f"section_{section:02d}_{domain}_{split}{word}_{number:04d}.wav"
                    files[f"{machine_type}/{folder}/{name}"] = sound(100 * section + number)
    return zipped(files)


def dcase(machine_types=("fan", "pump"), train: int = 1) -> Archives:
    """The four records, with ``train`` clips of each section and domain for training."""
    archives = Archives()
    tests = ("source_test", "target_test")
    truth = {"evaluator-1/README.md": b"", "evaluator-1/ground_truth_data/": b""}
    for machine_type in machine_types:
        dev = clip_zip(machine_type, (0, 1, 2), ("train", *tests), train=train)
        archives.add_record(DEV, f"dev_data_{machine_type}.zip", dev)
        more = clip_zip(machine_type, (3, 4, 5), ("train",), train=train)
        archives.add_record(TRAIN, f"eval_data_{machine_type}_train.zip", more)
        test = clip_zip(machine_type, (3, 4, 5), tests, labels=("", ""))
        archives.add_record(TEST, f"eval_data_{machine_type}_test.zip", test)
        for section in (3, 4, 5):
            for folder in tests:
                stem = f"section_{section:02d}_{folder}"
                table = f"{stem}_0000.wav,0\n{stem}_0001.wav,1\n"
                name = f"ground_truth_data/ground_truth_{machine_type}_{stem}.csv"
                truth[f"evaluator-1/{name}"] = table.encode()
    archives.add_record(TRUTH, TRUTH_ZIP, zipped(truth))
    return archives


@pytest.fixture
def zenodo():
    with served(dcase()) as archives:
        yield archives


def get(zenodo, folder, machine_types=("fan",), **options):
    options = {"server": zenodo.address, "retries": 0, "progress": False} | options
    return fetch.fetch(folder, machine_types, **options)


def leftovers(folder) -> list[str]:
    """Zips and unfinished files."""
    names = [p.name for p in folder.rglob("*") if p.is_file()]
    return [n for n in names if not n.endswith((".wav", ".csv", ".json")) and n != "lock"]


def test_three_sets_and_their_labels_become_one_tree(zenodo, tmp_path):
    clips = corpora.index(get(zenodo, tmp_path / "data", ("fan", "pump")))
    assert sorted(clips["product"].unique()) == ["00", "01", "02", "03", "04", "05"]
    counts = clips.groupby(["machine_type", "domain", "split", "label"]).size()
    assert (counts == 6).all() and len(counts) == 2 * 2 * 3
    assert not (clips.label == "unknown").any()
    evaluation = clips[(clips["product"] == "04") & (clips.split == "test")]
    assert evaluation.label.tolist() == ["normal", "anomaly"] * 4
    assert len(corpora.index(tmp_path / "data", domain="source")) == len(clips) / 2
    assert leftovers(tmp_path) == []


def test_a_second_call_asks_for_nothing(zenodo, tmp_path):
    get(zenodo, tmp_path)
    count = len(zenodo.requests)
    assert count == 4
    get(zenodo, tmp_path)
    get(zenodo, tmp_path, server="http://127.0.0.1:9")  # where nothing answers
    assert len(zenodo.requests) == count
    next((tmp_path / "fan" / "target_test").glob("section_03*")).unlink()
    get(zenodo, tmp_path)
    assert zenodo.requests[count:] == [zenodo.path(TEST, "eval_data_fan_test.zip")]
    get(zenodo, tmp_path, ("fan", "pump"))  # another type: the ground truth is there
    assert len(zenodo.requests) == count + 1 + 3


def test_the_folder_may_have_any_name(zenodo, tmp_path):
    clips = corpora.index(get(zenodo, tmp_path / ODD))
    assert len(clips) and leftovers(tmp_path) == []
    count = len(zenodo.requests)
    get(zenodo, tmp_path / ODD)
    assert len(zenodo.requests) == count


def test_zips_are_kept_on_request(zenodo, tmp_path):
    get(zenodo, tmp_path, keep_zips=True)
    assert (tmp_path / ".fetch" / "dev_data_fan.zip").read_bytes() == zenodo.files[
        zenodo.path(DEV, "dev_data_fan.zip")
    ]


def test_a_broken_connection_is_tried_again(zenodo, tmp_path):
    path = zenodo.path(DEV, "dev_data_fan.zip")
    zenodo.cut[path] = 1
    get(zenodo, tmp_path, retries=1)
    assert zenodo.requests.count(path) == 2
    assert len(corpora.index(tmp_path, ["fan"])) == 3 * (2 + 4) + 3 * 2 + 3 * 4
    assert leftovers(tmp_path) == []


def test_several_zips_come_side_by_side(zenodo, tmp_path):
    """Two are half sent, and neither gets its rest before the other is as far."""
    both = threading.Barrier(2, timeout=20)
    for record, name in ((DEV, "dev_data_fan.zip"), (TRAIN, "eval_data_fan_train.zip")):
        zenodo.halfway[zenodo.path(record, name)] = both.wait
    get(zenodo, tmp_path, workers=2)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("trouble", ["cut", "failing"])
def test_a_record_is_asked_for_again(zenodo, tmp_path, trouble):
    """Where its answer breaks off half way, and where the server says 503."""
    getattr(zenodo, trouble)[f"/api/records/{TRAIN}"] = 2
    with pytest.raises(InputError, match=f"records/{TRAIN}: the record cannot be reached"):
        get(zenodo, tmp_path)
    assert zenodo.requests == []
    get(zenodo, tmp_path, retries=1)
    assert len(zenodo.requests) == 4


def test_a_record_that_is_not_there_is_asked_for_once(zenodo, tmp_path, monkeypatch):
    del zenodo.records[TRAIN]
    monkeypatch.setattr(downloads, "time", SimpleNamespace(sleep=lambda _: pytest.fail("waited")))
    with pytest.raises(InputError, match=f"records/{TRAIN}: .*404"):
        get(zenodo, tmp_path, retries=3)


def test_a_killed_fetch_is_taken_up_and_leaves_nothing(zenodo, tmp_path):
    """By SIGKILL, when a zip is half sent: what is finished is not fetched again."""
    path = zenodo.path(TEST, "eval_data_fan_test.zip")
    words = ["fetch", "dcase2021", tmp_path / "data", "--machine-types", "fan", "--workers", "1"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "asdstudy", *words, "--server", zenodo.address],
        cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def kill():
        killed.kill()
        killed.wait()

    zenodo.halfway[path] = kill
    assert killed.wait(60) == -signal.SIGKILL
    assert leftovers(tmp_path)
    zenodo.halfway.clear()
    count = len(zenodo.requests)
    get(zenodo, tmp_path / "data")
    assert zenodo.path(DEV, "dev_data_fan.zip") not in zenodo.requests[count:]
    assert leftovers(tmp_path) == []
    assert [p.name for p in (tmp_path / "data" / ".fetch").iterdir() if p.is_dir()] == []


def test_what_is_finished_stays_when_another_fails(zenodo, tmp_path):
    path = zenodo.path(TRAIN, "eval_data_fan_train.zip")
    zenodo.cut[path] = 2
    with pytest.raises(InputError, match="1 of 4 files not fetched") as error:
        get(zenodo, tmp_path)
    assert zenodo.address + path in str(error.value)
    assert leftovers(tmp_path) == []
    assert not list((tmp_path / "fan" / "train").glob("section_03*"))
    count = len(zenodo.requests)
    with pytest.raises(InputError, match="1 of 1 files not fetched"):
        get(zenodo, tmp_path)
    get(zenodo, tmp_path)
    assert zenodo.requests[count:] == [path, path]
    assert list((tmp_path / "fan" / "train").glob("section_03*"))


def test_a_wrong_checksum_is_refused_and_named(zenodo, tmp_path):
    path = zenodo.path(DEV, "dev_data_fan.zip")
    zenodo.records[DEV]["dev_data_fan.zip"] = "md5:" + "0" * 32
    with pytest.raises(InputError, match="hash of downloaded file .*does not match") as error:
        get(zenodo, tmp_path)
    assert zenodo.address + path in str(error.value)
    assert leftovers(tmp_path) == []
    assert not list(tmp_path.rglob("section_00*"))


def _link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        link = zipfile.ZipInfo("fan/train")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        content.writestr(link, "../../outside")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content, named",
    [
        (zipped({"fan/train/a.wav": b"", "../outside.wav": b"x"}), "../outside.wav"),
        (zipped({"fan/../../outside.wav": b"x"}), "fan/../../outside.wav"),
        (zipped({"/tmp/outside.wav": b"x"}), "/tmp/outside.wav"),
        (zipped({"fan\\..\\..\\outside.wav": b"x"}), "outside.wav"),
        (zipped({"C:outside.wav": b"x"}), "C:outside.wav"),
        (_link(), "fan/train"),
    ],
)
def test_a_zip_that_leads_out_of_the_folder_is_refused(zenodo, tmp_path, content, named):
    zenodo.add_record(DEV, "dev_data_fan.zip", content)
    with pytest.raises(InputError, match="out of the folder; refused") as error:
        get(zenodo, tmp_path / "data")
    assert named in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    names = {path.name for path in tmp_path.rglob("*")}
    assert "outside.wav" not in names and "a.wav" not in names


def test_other_zips_that_cannot_be_used(zenodo, tmp_path):
    zenodo.add_record(DEV, "dev_data_fan.zip", b"no zip")
    zenodo.add_record(TEST, "eval_data_fan_test.zip", zipped({"valve/train/a.wav": b""}))
    with pytest.raises(InputError, match="no zip that can be read") as error:
        get(zenodo, tmp_path)
    assert "eval_data_fan_test.zip/content: nothing below a folder fan/" in str(error.value)


def test_a_missing_archive_is_named(zenodo, tmp_path):
    with pytest.raises(InputError, match=f"records/{DEV}: no file dev_data_valve.zip; it holds"):
        get(zenodo, tmp_path, ["valve"])
    with pytest.raises(InputError, match="unknown machine type of DCASE 2021 'drone'"):
        get(zenodo, tmp_path, ["drone"])
    assert zenodo.requests == []


def test_no_connection_is_one_clear_sentence(tmp_path):
    with pytest.raises(InputError, match=f"records/{DEV}: the record cannot be reached"):
        fetch.fetch(tmp_path, ["fan"], server="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "answer, message",
    [
        (b"<html>", "not understood .*JSONDecodeError"),
        (json.dumps({"message": "gone"}).encode(), "not understood .*KeyError: 'files'"),
        (json.dumps({"files": [{"key": "a"}]}).encode(), "not understood .*KeyError: 'links'"),
    ],
)
def test_a_record_that_is_none(zenodo, tmp_path, answer, message):
    del zenodo.records[DEV]
    zenodo.files[f"/api/records/{DEV}"] = answer
    with pytest.raises(InputError, match=message):
        get(zenodo, tmp_path)


def test_too_little_room_is_said_before_anything_is_fetched(zenodo, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="fetching 4 zips of .* needs about .* 0.0 MB are free"):
        get(zenodo, tmp_path / "new" / "data")
    assert zenodo.requests == []


def test_room_is_checked_again_when_the_clips_are_known(zenodo, tmp_path, monkeypatch):
    free = [10**9]  # for the first look, and then little
    monkeypatch.setattr(
        shutil, "disk_usage", lambda _: SimpleNamespace(free=free.pop() if free else 10)
    )
    with pytest.raises(InputError, match="4 of 4 .*unpacking .*dev_data_fan.zip/content needs"):
        get(zenodo, tmp_path)
    assert not list(tmp_path.rglob("*.wav"))


@pytest.fixture
def hears_ctrl_c():
    """A shell starts what it runs in the background deaf to ctrl-C, and pytest may be that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_what_is_under_way_and_keeps_what_is_finished(
    zenodo, tmp_path, monkeypatch, hears_ctrl_c
):
    """The interrupt comes when a zip is half sent; its rest is sent when all were told to stop."""
    name = "eval_data_fan_test.zip"
    long = {"fan/source_test/section_03_source_test_0000.wav": bytes(4 * downloads.CHUNK)}
    zenodo.add_record(TEST, name, zipped(long))
    halted = threading.Event()

    class Stop(threading.Event):
        def set(self):
            super().set()
            halted.set()

    def interrupt():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert halted.wait(30)

    zenodo.halfway[zenodo.path(TEST, name)] = interrupt
    monkeypatch.setattr(downloads, "threading", SimpleNamespace(Event=Stop))
    with pytest.raises(KeyboardInterrupt):
        get(zenodo, tmp_path, workers=1)
    assert leftovers(tmp_path) == []
    assert not (tmp_path / ".fetch" / "eval_data_fan_test.json").exists()
    assert (tmp_path / ".fetch" / "dev_data_fan.json").exists()
    zenodo.halfway.clear()
    count = len(zenodo.requests)
    get(zenodo, tmp_path)
    assert zenodo.path(DEV, "dev_data_fan.zip") not in zenodo.requests[count:]
    assert (tmp_path / ".fetch" / "eval_data_fan_test.json").exists()


def test_commands(zenodo, tmp_path, capsys):
    words = ["fetch", "dcase2021", tmp_path / "data", "--machine-types", "fan,pump"]
    asd(*words, "--server", zenodo.address)
    said = capsys.readouterr().out
    assert said.startswith(str(tmp_path / "data")) and "pump" in said and "test, anomaly" in said
    with pytest.raises(SystemExit, match="error: unknown machine type of DCASE 2021 'drone'"):
        asd("fetch", "dcase2021", "--machine-types", "drone")


TINY = {
    "backbone": "test_efficientnet", "pretrained": False, "epochs": 1, "batch_size": 16,
    "mel_bins": 32, "segment_seconds": 0.2, "segments": 2, "inlier_part": "train", "inlier_size": 1,
}  # fmt: skip


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A new folder to give the commands of the book in, with the project's notebooks."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASDLIB_ROOT", str(tmp_path))
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    return tmp_path


def said_by_make(*words: str) -> list[str]:
    """The words of the last command that make would run; it need not make .venv for that."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "-o", ".venv/installed", *words],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return shlex.split(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_chapter_works_word_by_word(elsewhere, monkeypatch):
    """Its command, its cell, and its notebook on what they fetched, with a smaller network."""
    chapter = (ROOT / "book" / "own-data.md").read_text()
    chapter = chapter.split("## How to get the paper's data")[1].split("\n## ")[0]
    fetched, trained, _ = re.findall(r"^\$ (.*)$", chapter, re.MULTILINE)
    (cell,) = re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)
    command, *words = shlex.split(fetched)
    assert command == "asd"
    with served(dcase(("fan", "pump"), train=4)) as zenodo:
        asd(*words, "--server", zenodo.address)
        count = len(zenodo.requests)
        monkeypatch.setattr(fetch, "ZENODO", zenodo.address)
        exec(cell, {})
        assert len(zenodo.requests) == count == 2 * 3 + 1  # the cell has nothing left to do
    clips = corpora.index(elsewhere / "data" / "dcase2021")
    assert sorted(clips.machine_type.unique()) == ["fan", "pump"]
    papermill, *words = shlex.split(trained)
    assert papermill == "papermill"
    for name, value in TINY.items():
        words += ["-p", name, str(value)]
    done = subprocess.run(
        [sys.executable, "-m", "papermill", *words],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (folder,) = (elsewhere / "runs/dcase2021/fan").glob("proposed-s0-*")
    run = Run(folder)
    assert run.params["profile_name"] == "paper" and len(run.scores) == 6 * 2
    assert sorted(run.metrics["product"].unique()) == ["00", "01", "02", "03", "04", "05"]
    assert run.metrics.AUC.notna().all()


@pytest.mark.slow
def test_the_two_commands_of_the_readme(elsewhere):
    """All seven machine types; the study is planned on what came, and no run is missing."""
    readme = (ROOT / "README.md").read_text()
    assert "make dcase2021\n  make book STUDY=dcase2021.yaml\n" in readme
    command, *words = said_by_make("dcase2021")
    assert command.endswith("/asd")
    with served(dcase(MACHINE_TYPES, train=2)) as zenodo:
        asd(*words, "--server", zenodo.address)
    _, *words = said_by_make("book", "STUDY=dcase2021.yaml")
    words = [word.replace("$STUDY", "dcase2021.yaml") for word in words]  # as the shell does
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", elsewhere]
        + ["-n", *words],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    assert int(counts["train"]) == len(MACHINE_TYPES) * 9
