"""A run that is killed goes on where it was, to the same bits; nothing foreign is taken up."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import timm
import torch
from conftest import ROOT, write_corpus
from safetensors.torch import load_file
from test_training import SMALL

from asdlib import InputError, training
from asdstudy import paths
from asdstudy.runs import checkpoints
from asdstudy.runs import stages as runs
from asdstudy.runs.checkpoints import (
    Checkpoint,
    Checkpoints,
    Stopped,
    sigterm_raises,
)
from asdstudy.runs.plan import Plan

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p")

# Runs in a process of its own, which halts for good at a chosen moment and says so.
CHILD = """
import sys, time
import torch
torch.set_num_threads(1)
from asdstudy.systems import autoencoder
from asdstudy.runs import checkpoints, stages as runs
from asdlib import training

data_dir, out_dir, variant, moment, options = sys.argv[1:]
counts = {}

def halt_at(module, name, number, before=lambda *a: None):
    original = getattr(module, name)
    def counted(*arguments, **more):
        counts[module, name] = counts.get((module, name), 0) + 1
        if counts[module, name] == number:
            before(*arguments)
            print("halted", flush=True)
            while True:
                time.sleep(60)
        return original(*arguments, **more)
    setattr(module, name, counted)

checkpoints.EVERY = 0  # epochs of tests are short

def half_a_file(state, file):
    file.write(b"PK half of a checkpoint")
    file.flush()

if moment == "between epochs":
    halt_at(training, "validate", 4)
elif moment == "inside an epoch":
    halt_at(training, "train_step", 8)
    halt_at(autoencoder, "squared_errors", 8)
elif moment == "while writing":
    halt_at(checkpoints.torch, "save", 3, half_a_file)
elif moment == "while writing the run folder":
    halt_at(runs, "save_file", 1)
runs.execute("noise", "pump", variant, data_dir=data_dir, out_dir=out_dir, progress=False,
             **eval(options))
print("whole", flush=True)
"""
OPTIONS = repr(SMALL | {"epochs": 5})


def child(root: Path, corpus: Path, out: Path, variant: str, moment: str) -> subprocess.Popen:
    """Start a run, with its decoded waves below ``root``."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, corpus, out, variant, moment, OPTIONS],
        env=os.environ | {"ASDLIB_ROOT": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def folder_of(out: Path, variant: str = "proposed") -> Path:
    """Where the child's run is."""
    return Plan("noise", "pump", variant, overrides=eval(OPTIONS), out_dir=out).folder


def interrupt(process: subprocess.Popen, how: signal.Signals) -> str:
    """Wait for the halt, send the signal, and return what the process said on its way out."""
    said = process.stdout.readline()
    assert said == "halted\n", said + process.stderr.read()
    process.send_signal(how)
    return process.communicate(timeout=120)[1]


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("c") / "corpus")


@pytest.fixture(scope="module")
def uninterrupted(noise, tmp_path_factory):
    """The run folder of a variant, from a process that nobody disturbed."""
    root, made = tmp_path_factory.mktemp("undisturbed"), {}

    def run_of(variant: str) -> Path:
        if variant not in made:
            said, error = child(root, noise, root / "runs", variant, "never").communicate()
            assert said == "whole\n", error
            made[variant] = folder_of(root / "runs", variant)
        return made[variant]

    return run_of


def assert_same_run(one: Path, other: Path) -> None:
    weights, others = (load_file(folder / "encoder.safetensors") for folder in (one, other))
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name
    for name in ("scores.csv", "metrics.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def left_behind(out: Path) -> list[str]:
    return sorted(path.name for path in out.rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "moment"),
    [
        ("proposed", "inside an epoch"),
        ("proposed", "between epochs"),
        ("proposed", "while writing"),
        ("proposed", "while writing the run folder"),
        ("ddcsad", "inside an epoch"),
        ("ae", "inside an epoch"),
    ],
)
def test_a_killed_run_ends_with_the_same_bits(noise, uninterrupted, tmp_path, variant, moment):
    out = tmp_path / "runs"
    killed = child(tmp_path, noise, out, variant, moment)
    interrupt(killed, signal.SIGKILL)
    assert killed.returncode == -signal.SIGKILL
    folder = folder_of(out, variant)
    assert not (folder / "params.json").exists() and left_behind(out)
    said, error = child(tmp_path, noise, out, variant, "never").communicate()
    assert said == "whole\n", error
    assert_same_run(folder, uninterrupted(variant))
    assert runs.Run(folder).params["resumed"]  # so that its times count nowhere
    assert not left_behind(out)


@pytest.mark.slow
def test_what_was_trained_is_not_trained_again(noise, tmp_path):
    """Three epochs are whole when the first process halts at the fourth validation."""
    out = tmp_path / "runs"
    interrupt(child(tmp_path, noise, out, "proposed", "between epochs"), signal.SIGKILL)
    (path,) = out.rglob(".*.checkpoint")
    assert [row["epoch"] for row in torch.load(path, weights_only=True)["history"]] == [1, 2, 3]
    # the second has two more to do: never at a fourth validation, it comes to its end
    said, error = child(tmp_path, noise, out, "proposed", "between epochs").communicate()
    assert said == "whole\n", error


@pytest.mark.slow
def test_two_fresh_processes_agree_to_the_bit(noise, uninterrupted, tmp_path):
    said, error = child(tmp_path, noise, tmp_path / "runs", "proposed", "never").communicate()
    assert said == "whole\n", error
    assert_same_run(folder_of(tmp_path / "runs"), uninterrupted("proposed"))


@pytest.mark.slow
def test_sigterm_ends_a_run_with_a_word_and_keeps_the_last_epoch(noise, tmp_path):
    out = tmp_path / "runs"
    stopped = child(tmp_path, noise, out, "proposed", "inside an epoch")
    said = interrupt(stopped, signal.SIGTERM)
    assert stopped.returncode == 1
    assert "stopped by SIGTERM; the epochs are kept, run the same command again" in said
    assert left_behind(out) == [f".{folder_of(out).name}.encoder.checkpoint"]


def terminated(*_, **__):
    """What is going on when SIGTERM comes."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)


def test_sigterm_is_heard_while_a_checkpoint_is_read(tmp_path, monkeypatch):
    saved = Checkpoints(tmp_path / "run", {}).of("encoder")
    saved.save({"epoch": 3}, np.random.default_rng())
    monkeypatch.setattr(torch, "load", terminated)
    with pytest.raises(Stopped), sigterm_raises():
        saved.load()


def test_what_is_trained_stays_when_the_next_weights_cannot_be_had(noise, tmp_path, monkeypatch):
    """One network of two is trained when SIGTERM comes; then there is no internet for a while."""
    create, count = timm.create_model, iter(range(100))
    moments = {1: terminated}

    def fetched(*words, pretrained, **options):
        if pretrained:
            moments.get(next(count), lambda: None)()
        return create(*words, pretrained=False, **options)

    def refused():
        raise OSError("no route to host")

    def run():
        return runs.execute(
            "noise", "pump", "ddcsad", data_dir=noise, out_dir=tmp_path, progress=False,
            **SMALL | {"pretrained": True},
        )  # fmt: skip

    monkeypatch.setattr(timm, "create_model", fetched)
    with pytest.raises(Stopped):
        run()
    (first,) = left_behind(tmp_path)
    assert re.fullmatch(r"\.ddcsad-s0-\w{8}\.00\.checkpoint", first)
    moments[2] = refused  # of the second network: the first has its own
    with pytest.raises(InputError, match="cannot be fetched"):
        run()
    assert left_behind(tmp_path) == [first]
    assert len(run().history) == 2 * SMALL["epochs"] and not left_behind(tmp_path)


def test_who_goes_on_needs_no_pretrained_weights(noise, tmp_path, monkeypatch):
    create, validate, count = timm.create_model, training.validate, iter(range(100))
    there = [True]

    def fetched(*words, pretrained, **options):
        if pretrained and not there[0]:
            raise OSError("no route to host")
        return create(*words, pretrained=False, **options)

    def stopped(*words):
        return validate(*words) if next(count) != 1 else terminated()

    def run():
        return runs.execute(
            "noise", "pump", data_dir=noise, out_dir=tmp_path, progress=False,
            **SMALL | {"pretrained": True},
        )  # fmt: skip

    monkeypatch.setattr(timm, "create_model", fetched)
    monkeypatch.setattr(training, "validate", stopped)
    with pytest.raises(Stopped):
        run()
    there[0] = False
    assert run().params["resumed"]


def test_sigterm_in_a_notebook_is_reported_as_such(tmp_path):
    code = """import os, signal, time
from asdstudy.runs.checkpoints import sigterm_raises
with sigterm_raises():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbformat.write(book, tmp_path / "page.ipynb")
    words = ["page.ipynb", "out.ipynb", "--log", "log.ipynb"]
    done = subprocess.run(
        [sys.executable, ROOT / "workflow/run_notebook.py", *words],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and "Stopped: stopped by SIGTERM; the epochs" in done.stderr


def dead_process() -> int:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    return dead.pid


def test_what_killed_processes_left_of_a_folder_goes(tmp_path, monkeypatch):
    """Only of this computer: on a shared disk, other computers' process numbers mean nothing."""
    monkeypatch.setattr(paths.socket, "gethostname", lambda: "node1.cluster")
    dead, here, there = dead_process(), ".fan.node1.cluster", ".fan.node2.cluster"
    gone = [f"{here}.{dead}.part", f"{here}.{dead}.old", f"{here}.{os.getpid()}.old"]
    stays = [f"{here}.{os.getppid()}.part", f".fan.big.node1.cluster.{dead}.part"]
    stays += [f"{there}.{dead}.part", f"{there}.{dead}.old", ".fan.x.checkpoint"]
    for name in (*gone, *stays):
        (tmp_path / name / "inside").mkdir(parents=True)
    with paths.whole_folder(tmp_path / "fan") as part:
        assert part.name == f"{here}.{os.getpid()}.part"
        (part / "new").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*stays, "fan"])


def test_what_killed_processes_left_of_a_checkpoint_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(paths.socket, "gethostname", lambda: "node1")
    checkpoints, dead = Checkpoints(tmp_path / "run[0]", {}), dead_process()
    checkpoints.of("encoder").save({"epoch": 1}, np.random.default_rng())
    name = ".run[0].encoder.checkpoint"
    (tmp_path / f"{name}.node1.{dead}.part").touch()
    stays = [f"{name}.node1.{os.getppid()}.part", f"{name}.node2.{dead}.part"]
    for other in stays:
        (tmp_path / other).touch()
    checkpoints.remove()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stays)


def test_sigterm_is_as_before_when_the_run_is_over():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped), sigterm_raises():
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
    assert signal.getsignal(signal.SIGTERM) == before


def test_nothing_foreign_or_broken_is_taken_up(tmp_path):
    saved = Checkpoints(tmp_path / "run", {"seed": 0}).of("encoder")
    saved.save({"epoch": 3}, np.random.default_rng())
    assert saved.load()["epoch"] == 3
    with pytest.warns(UserWarning, match="is of another run"):
        assert Checkpoint(saved.path, {"seed": 1}).load() is None
    saved.path.write_bytes(saved.path.read_bytes()[:100])
    with pytest.warns(UserWarning, match="not a checkpoint that can be read"):
        assert saved.load() is None


def test_a_run_that_starts_again_is_not_resumed_and_says_so(noise, tmp_path, capsys):
    """A checkpoint of other sound, or of other code, lies where the run's own would."""
    plan = Plan("noise", "pump", overrides=SMALL, out_dir=tmp_path)
    plan.folder.parent.mkdir(parents=True)
    Checkpoints(plan.folder, {"fingerprint": "of other sound"}).of("encoder").save(
        {"epoch": 1}, np.random.default_rng()
    )
    run = runs.execute("noise", "pump", data_dir=noise, out_dir=tmp_path, progress=False, **SMALL)
    assert re.search("warning: .* is of another run .* starts again", capsys.readouterr().err)
    assert not run.params["resumed"] and run.seconds("wall_seconds") > 0
    assert any("training starts again" in warning for warning in run.params["warnings"])
    assert len(run.history) == SMALL["epochs"] and not left_behind(tmp_path)


class Payload:
    """What a pickle of unknown origin may hold: a command."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_a_checkpoint_executes_nothing(tmp_path):
    checkpoint = Checkpoints(tmp_path / "run", {}).of("encoder")
    torch.save({"identity": checkpoint.identity, "x": Payload(tmp_path / "run")}, checkpoint.path)
    with pytest.warns(UserWarning, match="UnpicklingError"):
        assert checkpoint.load() is None
    assert not (tmp_path / "run").exists()


def test_wrong_input_leaves_no_checkpoint(noise, tmp_path, monkeypatch):
    def refuse(*_):
        assert left_behind(tmp_path)
        raise InputError("not to be trained")

    monkeypatch.setattr("asdstudy.systems.serial.collapses", refuse)
    with pytest.raises(InputError, match="not to be trained"):
        runs.execute("noise", "pump", data_dir=noise, out_dir=tmp_path, progress=False, **SMALL)
    assert not left_behind(tmp_path)


def test_short_epochs_are_not_written_one_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 5)
    seconds = iter([100, 100, 104.9, 105, 105.2, 200, 200])  # when asked, and when written
    monkeypatch.setattr(checkpoints.time, "monotonic", lambda: next(seconds))
    checkpoint, kept = Checkpoint(tmp_path / "c", {}), []
    for epoch in range(1, 5):
        checkpoint.save({"epoch": epoch}, np.random.default_rng())
        kept.append(checkpoint.load()["epoch"])
    assert kept == [1, 1, 3, 4]


def test_random_states_come_back(tmp_path):
    checkpoint, rng = Checkpoint(tmp_path / "c", {}), np.random.default_rng(5)
    rng.random(3)
    checkpoint.save({}, rng)
    expected = rng.random(4), torch.rand(4)
    checkpoint.restore_random(checkpoint.load(), rng)
    np.testing.assert_array_equal(rng.random(4), expected[0])
    assert torch.equal(torch.rand(4), expected[1])
