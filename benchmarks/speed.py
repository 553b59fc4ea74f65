"""Speed of training and scoring, as ratios measured in one run on one machine (``make bench``).

Prints, for the quick and the paper profile: training clips/s of the study (crops from the wave
bank, Mixup, losses, optimiser, schedule); of the bare network (forward, backward, optimiser step on
waves already in memory; the log-mel is the network's first layer); and their ratio, for which there
is a limit. Then scoring clips/s, with the share of decoding, log-mel, network and h.

On the CPU two machine types and a small batch do. On CUDA all seven are on the device, and the
paper profile is measured at its own batch of 128, too, and compiled.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from asdlib import batches, training
from asdlib.encoder import Encoder, device_of
from asdlib.inliers import INLIERS
from asdlib.profiles import Profile, make_profile
from asdlib.waves import read_clip
from asdstudy import paths
from asdstudy.data import open_corpus
from asdstudy.data.machines import MACHINE_TYPES
from asdstudy.data.simulate import Simulation, make_corpus
from asdstudy.runs.device import on

LIMIT = 0.9  # of the bare network's speed, at the least


def study_step(encoder, split, profile: Profile, optimiser, schedule, rng):
    """Batches as the study makes and trains on them, for ever."""
    device = device_of(encoder)
    sums = 0.0
    while True:
        for batch in batches.balanced_batches(split, profile, rng, device):
            batch = training.mix(batch, profile, rng)  # as in training, the unmixed one is let go
            parts = training.train_step(encoder, batch, profile, optimiser)
            sums = sums + torch.stack([*parts.values()]) * len(batch.machine)
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
                _wait()
                begun = time.perf_counter()
                clips = next(stepper)
                _wait()
                rates[name].append(clips / (time.perf_counter() - begun))
    return {name: float(np.median(values)) for name, values in rates.items()}


def _wait() -> None:
    """A GPU works on after a call has returned."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


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


def bench_scoring(banks: dict) -> None:
    profile = make_profile("quick", "fan")
    bank = banks["fan"]
    rows = np.flatnonzero(bank.clips.split == "test")[:200]
    encoder = Encoder(profile, 6).eval()
    seconds = {}

    def timed(name: str, function):
        begun = time.perf_counter()
        result = function()
        seconds[name] = time.perf_counter() - begun
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
    total = sum(seconds.values())
    print(f"\nscoring, quick profile: {len(rows) / total:.1f} clips/s")
    for name, value in seconds.items():
        print(f"  {name:16s} {100 * value / total:5.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30, help="turns of each kind (default 30)")
    parser.add_argument("--threads", type=int, default=0, help="torch threads (default: torch's)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {name}")
    kinds, clips, rounds = ("fan", "pump"), 24, max(arguments.rounds // 8, 3)
    if device == "cuda":  # 71 of each product ID: batches of 128 need not be evened out
        kinds, clips, rounds = MACHINE_TYPES, 71, arguments.rounds
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(train_clips=clips, test_clips=10, clip_seconds=4.0)
        root = make_corpus(Path(folder) / "c", simulation, kinds, progress=False)
        paths.waves_dir = lambda corpus: Path(folder) / "waves"
        _, banks = open_corpus("bench", root, "fan", progress=False)
        there = {kind: on(bank, device) for kind, bank in banks.items()} if name != "CPU" else banks
        ratios = [
            ratio_of("quick", there, arguments.rounds, device),
            ratio_of("paper", there, rounds, device, batch_size=32),
        ]
        if device == "cuda":
            for compiled in (False, True):
                ratios.append(ratio_of("paper", there, rounds, device, compile=compiled))
        bench_scoring(banks)
    print(f"\nstudy / bare network, from waves: {min(ratios):.2f}; the limit is {LIMIT}")
    sys.exit(min(ratios) < LIMIT)


if __name__ == "__main__":
    main()
