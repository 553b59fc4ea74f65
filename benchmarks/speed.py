"""Speed of training and scoring, as ratios measured in one run on one machine (``make bench``).

Prints, for the quick and the paper profile: training clips/s of the study (crops from the wave
bank, Mixup, losses, optimiser, schedule); of the bare network (forward, backward, optimiser step on
waves already in memory; the log-mel is the network's first layer); and their ratio, for which there
is a limit. Then the log-mel beside torch.stft alone, scoring clips/s from files, with the share of
decoding, log-mel, network and h, a recording of an hour scored by a run, and the code as it was
before it was made faster beside that of today: whole quick runs, and training.

On the CPU two machine types and a small batch do, on one thread; its own time is measured, since
others may compute there, too. On CUDA all seven are on the device, and the paper profile is
measured at its own batch of 128, too, and compiled.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch

from asdlib import batches, training
from asdlib.encoder import Encoder, LogMel, device_of
from asdlib.inliers import INLIERS
from asdlib.profiles import SAMPLE_RATE, Profile
from asdlib.waves import WaveBank
from asdstudy import paths
from asdstudy.data import open_corpus
from asdstudy.data.inputs import read_clip
from asdstudy.data.machines import MACHINE_TYPES
from asdstudy.data.simulate import Simulation, make_corpus
from asdstudy.runs.device import keep_heap, on
from asdstudy.runs.stages import execute
from asdstudy.systems import make_profile
from asdstudy.use.detector import Detector
from asdstudy.use.recordings import recordings
from asdstudy.use.score import score_recordings

LIMIT = 0.95  # of the bare network's speed, at the least
LOGMEL_LIMIT = 1.6  # times the time of torch.stft alone, at the most
EARLIER = "1abdc5e"  # a commit from before the code was made faster
RATIOS = {"whole quick run": 1.5, "quick training": 1.0, "paper training": 1.1}  # at the least
# A quick run of 50 epochs, as it was at EARLIER, and two epochs of the paper profile, on any commit
# since then.
RUN = """
import json, sys, time
from dataclasses import replace
from types import SimpleNamespace
import timm  # before the time is taken: the earlier code loads it at once, today's when needed
import torch
from asdlib import batches, training
try:
    from asdlib.profiles import make_profile
    from asdlib.runs import execute, open_corpus
except ImportError:  # today's code: the study has a package of its own
    from asdstudy.data import open_corpus
    from asdstudy.runs.stages import execute
    from asdstudy.systems import make_profile

root, out = sys.argv[1:]
torch.set_num_threads(1)
training.time = SimpleNamespace(perf_counter=time.process_time)  # clips per second of its own
begun = time.process_time()
run = execute("bench", "fan", data_dir=root, out_dir=out, progress=False, epochs=50)
seconds = time.process_time() - begun
banks = open_corpus("bench", root, "fan", progress=False)[1]
profile = make_profile("paper", "fan", pretrained=False, epochs=2)
split = batches.split_clips(banks["fan"], [banks["pump"]], profile, 0)
train = replace(split.train, rows=split.train.rows[:32], products=split.train.products[:32])
paper = training.train(replace(split, train=train), profile, 0, "cpu", progress=False)[1]
speeds = [history.clips_per_second.max() for history in (run.history, paper)]
print(json.dumps([1 / seconds, *speeds]))
"""


def study_step(encoder, split, profile: Profile, optimiser, schedule, rng):
    """Batches as the study makes and trains on them, for ever."""
    device = device_of(encoder)
    while True:
        seen = []
        for batch in batches.balanced_batches(split, profile, rng, device):
            batch = training.mix(batch, profile, rng)  # as in training, the unmixed one is let go
            parts = training.train_step(encoder, batch, profile, optimiser)
            seen.append((len(batch.machine), parts))
            schedule.step()
            yield len(batch.machine)


def bare_step(encoder, batch: batches.Batch, optimiser, waves_in: bool):
    """Forward, backward and optimiser step on tensors in memory, for ever."""
    inputs = batch.waves if waves_in else encoder.logmel(batch.waves).detach()
    while True:
        optimiser.zero_grad(set_to_none=True)
        embedding = encoder(inputs) if waves_in else encoder.embed(inputs)
        product, machine = encoder.heads(embedding)
        (product.mean() + machine.mean()).backward()
        optimiser.step()
        yield len(batch.machine)


def interleaved(steppers: dict, rounds: int, steps: int = 5) -> dict:
    """Clips/s of each stepper: taken in turns, the median over all steps, so that drift hits all.

    The first step of a turn is not measured: it finds the caches and the heap as another network
    left them, which never happens in a training.
    """
    rates = {name: [] for name in steppers}
    for _ in range(rounds):
        for name, stepper in steppers.items():
            next(stepper)
            for _ in range(steps):
                begun = _now()
                clips = next(stepper)
                rates[name].append(clips / (_now() - begun))
    return {name: float(np.median(values)) for name, values in rates.items()}


def _now() -> float:
    """Seconds of this process; of the clock with a GPU, which works on after a call has returned.

    There it waits for the GPU.
    """
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def bench_training(name: str, banks: dict, rounds: int, device: str, **overrides) -> float:
    """Print the clips/s of a profile; returns study / bare network, from waves."""
    profile = make_profile(name, "fan", pretrained=False, **overrides)
    others = [bank for kind, bank in banks.items() if kind != "fan"]
    split = batches.split_clips(banks["fan"], others, profile, 0)
    rng = np.random.default_rng(0)
    batch = next(batches.balanced_batches(split, profile, rng, device))
    # only the whole network is compiled, from the waves on
    kinds = ["study", "bare, from waves"] + ["bare, from log-mels"] * (not profile.compile)
    steppers = {}
    for kind in kinds:
        torch.manual_seed(0)
        encoder = Encoder(profile, len(split.products)).to(device).train()
        if profile.compile:
            encoder.compile()
        optimiser, schedule = training.make_optimiser(encoder, profile, 10**6)
        if kind == "study":
            steppers[kind] = study_step(encoder, split, profile, optimiser, schedule, rng)
        else:
            steppers[kind] = bare_step(encoder, batch, optimiser, kind.endswith("waves"))
    rates = interleaved(steppers, rounds)
    how = f"batch {len(batch.machine)}{', compiled' * profile.compile}, {rounds} turns"
    print(f"\n{name} profile: {profile.backbone}, {how}")
    for kind, rate in rates.items():
        ratio = rates["study"] / rate
        print(f"  {kind:22s} {rate:8.1f} clips/s   study / this: {ratio:.2f}", flush=True)
    return rates["study"] / rates["bare, from waves"]


def ratio_of(*arguments, **overrides) -> float:
    """:func:`bench_training`, up to three times where the limit is missed: others compute, too."""
    for tries in (1, 2, 3):
        ratio = bench_training(*arguments, **overrides)
        if ratio >= LIMIT:
            break
        print(f"  below the limit of {LIMIT}, measured {tries} of 3 times", flush=True)
    return ratio


def bench_logmel(name: str) -> float:
    """Print and return the time of a profile's log-mel, divided by that of torch.stft alone."""
    profile = make_profile(name, "fan")
    logmel, waves = LogMel(profile), torch.randn(32, profile.segment_frames)

    def endless(function):
        while True:
            function(waves)
            yield len(waves)

    def stft(waves):
        torch.stft(waves, logmel.size, logmel.hop, window=logmel.window, return_complex=True)

    rates = interleaved({"log-mel": endless(logmel), "stft": endless(stft)}, rounds=10)
    ratio = rates["stft"] / rates["log-mel"]
    print(f"{name} profile: log-mel / torch.stft: {ratio:.2f}; the limit is {LOGMEL_LIMIT}")
    return ratio


def bench_scoring(bank: WaveBank) -> None:
    """Print how fast the test clips of a bank are scored from their files on."""
    profile = make_profile("quick", "fan")
    rows = np.flatnonzero(bank.clips.split == "test")
    encoder = Encoder(profile, 6).eval()
    seconds = {}

    def timed(name: str, function):
        begun = time.process_time()
        result = function()
        seconds[name] = time.process_time() - begun
        return result

    timed("decoding", lambda: [read_clip(path) for path in bank.clips.path[rows]])
    part = batches.Part(bank, rows, np.full(len(rows), -1), bank.mean, bank.std)
    chunks = np.array_split(np.arange(len(rows)), max(len(rows) // 12, 1))
    with torch.inference_mode():

        def mels():
            length = profile.segment_frames
            waves = [part.segments(c, profile.segments, length) for c in chunks]
            return [encoder.logmel(w.flatten(0, 1)) for w in waves]

        images = timed("log-mel", mels)
        vectors = timed("network", lambda: torch.cat([encoder.embed(i) for i in images]).numpy())
    model = INLIERS["GMM"].make(2, profile, 0).fit(vectors[: len(vectors) // 2])
    timed("h (GMM, p = 2)", lambda: model.score(vectors))
    total, length = sum(seconds.values()), bank.frames[rows].sum() / SAMPLE_RATE
    print(
        f"\nscoring from files, quick profile, one core: {len(rows) / total:.1f} clips/s, "
        f"{length / total:.0f} times real time"
    )
    for name, value in seconds.items():
        print(f"  {name:16s} {100 * value / total:5.1f} %")


def bench_recording(root: Path, folder: Path, hours: float = 1.0) -> None:
    """Print how fast a run scores a long recording, made by joining clips of the corpus."""
    run = execute("bench", "fan", data_dir=root, out_dir=folder, progress=False, epochs=1)
    detector = Detector(run.folder)
    clips = [read_clip(path) for path in sorted((root / "fan" / "train").iterdir())]
    sound = np.resize(np.concatenate(clips), round(hours * 3600 * SAMPLE_RATE))
    soundfile.write(folder / "long.flac", sound, SAMPLE_RATE)
    opened = recordings([folder / "long.flac"], detector, detector.products[0])
    begun = time.process_time()
    ((_, verdicts),) = score_recordings(detector, opened, folder / "scores.csv", progress=False)
    seconds = time.process_time() - begun
    print(
        f"\nasd score, quick profile, one core: a recording of {hours:g} h in {len(verdicts)} "
        f"windows, {hours * 3600 / seconds:.0f} times real time"
    )


def bench_earlier(root: Path, folder: Path, rounds: int = 2) -> dict[str, float]:
    """Print the speed of the code at :data:`EARLIER` and of today's; returns their ratios.

    Nothing where the history is not there, as in an unpacked archive.
    """
    here = Path(__file__).resolve().parent.parent
    done = subprocess.run(["git", "archive", EARLIER, "asdlib"], cwd=here, capture_output=True)
    if done.returncode:
        print(f"\nno git history here: not compared with {EARLIER}")
        return {}
    tarfile.open(fileobj=io.BytesIO(done.stdout)).extractall(folder / "earlier", filter="data")
    speeds = {folder / "earlier": [], here: []}
    for number in range(rounds):
        for code, measured in speeds.items():
            out = folder / f"runs-{code.name}-{number}"
            environment = {"PYTHONPATH": str(code), "ASDLIB_ROOT": str(folder)}
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", RUN, str(root), str(out)],
                cwd=folder, env=os.environ | environment | {"CUDA_VISIBLE_DEVICES": ""},
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
            )  # fmt: skip
            measured.append(json.loads(done.stdout.splitlines()[-1]))
    earlier, today = (np.max(measured, axis=0) for measured in speeds.values())
    ratios = dict(zip(RATIOS, today / earlier, strict=True))
    print(f"\none core, the better of {rounds}:{EARLIER:>17s}    today    ratio (limit)")
    for (name, ratio), a, b in zip(ratios.items(), earlier, today, strict=True):
        a, b, unit = (1 / a, 1 / b, "CPU s") if name.startswith("whole") else (a, b, "clips/s")
        print(f"  {name:18s} {unit:7s} {a:10.1f} {b:8.1f} {ratio:8.2f} ({RATIOS[name]})")
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=12, help="turns of each kind (default 12)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default 1)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_heap()  # as training does
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {name}")
    # so many clips of each product ID that no batch is smaller than another
    kinds, clips, rounds = ("fan", "pump"), 25, max(arguments.rounds // 8, 3)
    if device == "cuda":
        kinds, clips, rounds = MACHINE_TYPES, 71, arguments.rounds
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        paths.waves_dir = lambda corpus: folder / "waves" / corpus

        def banks_of(corpus: str, **simulation) -> dict:
            root = make_corpus(folder / corpus, Simulation(**simulation), kinds, progress=False)
            return open_corpus(corpus, root, "fan", progress=False)[1]

        banks = banks_of("bench", train_clips=clips, test_clips=10, clip_seconds=4.0)
        there = {kind: on(bank, device) for kind, bank in banks.items()} if name != "CPU" else banks
        ratios = [
            ratio_of("quick", there, arguments.rounds, device),
            ratio_of("paper", there, rounds, device, batch_size=32),
        ]
        if device == "cuda":
            for compiled in (False, True):
                ratios.append(ratio_of("paper", there, rounds, device, compile=compiled))
        print(f"\nstudy / bare network, from waves: {min(ratios):.2f}; the limit is {LIMIT}\n")
        logmels = [bench_logmel(name) for name in ("quick", "paper")]
        bench_scoring(banks_of("long", train_clips=2, test_clips=5, clip_seconds=10.0)["fan"])
        bench_recording(folder / "bench", folder / "use")
        faster = bench_earlier(folder / "bench", folder)
    slow = min(ratios) < LIMIT or max(logmels) > LOGMEL_LIMIT
    sys.exit(slow or any(ratio < RATIOS[name] for name, ratio in faster.items()))


if __name__ == "__main__":
    main()
