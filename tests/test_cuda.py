"""What a GPU does otherwise, in a process that may see one: the suite itself has none."""

import os
import subprocess
import sys

import pytest
from conftest import GPUS, write_corpus
from test_training import SMALL

SCRIPT = """
import sys, warnings
from functools import partialmethod
import numpy as np
import torch
from asdstudy.runs import stages as runs
from asdlib import training
from asdlib.encoder import Encoder

device, root, options = sys.argv[1], sys.argv[2], eval(sys.argv[3])
torch.set_num_threads(1)
warnings.filterwarnings("ignore", "a GMM with p")
if device == "cpu":  # there, code for the loops of a network is a minute's work
    Encoder.compile = partialmethod(torch.nn.Module.compile, backend="eager")

def execute(out, **more):
    return runs.execute("noise", "pump", data_dir=root, out_dir=out, progress=False,
                        **options | more)

from asdstudy.data import open_corpus
from asdstudy.runs.device import on
from asdstudy.runs.provenance import processor
_, banks = open_corpus("noise", root, progress=False)
rng = np.random.default_rng(0)
for bank in banks.values():
    which = rng.integers(0, len(bank.clips), 50)
    for length in (100, 8000, 30_000):  # the last is longer than any clip
        starts = rng.integers(0, max(bank.frames.min() - length, 0) + 1, 50)
        there = on(bank, device).gather(which, starts, length)
        assert there.device.type == device and there.dtype == torch.int16
        assert np.array_equal(there.cpu().numpy(), bank.gather(which, starts, length))
print("gathered", flush=True)

run = execute("runs", epochs=1)
assert run.scores.score.notna().all()
assert (run.params["device"] == processor()) == (device == "cpu")
assert (run.params.get("peak_cuda_bytes", 0) > 0) == (device == "cuda")
print("trained", flush=True)

validate, count = training.validate, iter(range(100))
def interrupted(*words):
    if next(count) == 1:
        raise KeyboardInterrupt
    return validate(*words)
training.validate = interrupted
try:
    execute("resumed")
except KeyboardInterrupt:
    run = execute("resumed")
assert run.params["resumed"] and run.history.epoch.tolist() == [1, 2]
print("resumed", flush=True)

assert np.isfinite(execute("compiled", epochs=1, compile=True).history.loss).all()
print("compiled", flush=True)
"""


def start(words: list, **options) -> subprocess.CompletedProcess:
    """A Python that sees the GPUs which the suite was started with."""
    environment = {name: value for name, value in os.environ.items()}
    environment.pop("CUDA_VISIBLE_DEVICES")
    environment |= {"CUDA_VISIBLE_DEVICES": GPUS} if GPUS is not None else {}
    environment |= options.pop("env", {})
    return subprocess.run(
        [sys.executable, *map(str, words)], env=environment, capture_output=True, text=True,
        **options,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_bank_training_resumption_and_compilation(device, tmp_path):
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    if device == "cuda":
        seen = start(["-c", "import torch; print(torch.cuda.is_available())"])
        if seen.stdout != "True\n":
            pytest.skip(f"torch sees no CUDA device here{': ' * bool(seen.stderr)}{seen.stderr}")
    root = write_corpus(tmp_path / "corpus")
    done = start(
        ["-c", SCRIPT, device, root, repr(SMALL)],
        env={"ASDLIB_ROOT": str(tmp_path)} | hidden, cwd=tmp_path, timeout=900,
    )  # fmt: skip
    assert done.stdout.split() == ["gathered", "trained", "resumed", "compiled"], done.stderr
    assert done.returncode == 0
