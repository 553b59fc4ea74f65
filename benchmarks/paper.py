"""The paper profile on a machine type of the challenge's size, simulated (``make paper-bench``).

Trains the proposed method and two of its ablations for a few epochs on a GPU, scores them, and
writes one row for each as CSV: clips/s of training; the hours that the training of all epochs and
machine types of the paper would take at that speed, without validation and scoring; the peak memory
of the device; AUC, pAUC and their harmonic mean in %, which after so few epochs are not the
method's. ``--small`` does the same at toy size on any computer, and its figures mean nothing.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import pandas as pd
import torch

from asdlib.errors import InputError
from asdlib.profiles import Profile
from asdstudy import paths
from asdstudy.data.machines import MACHINE_TYPES
from asdstudy.data.simulate import Simulation
from asdstudy.report.paper import MACHINE_TYPES as PAPER_TYPES
from asdstudy.runs.provenance import stamp
from asdstudy.runs.run import Run
from asdstudy.runs.stages import execute
from benchmarks.memory import full_size

VARIANTS = ("proposed", "no-mixup", "product-only")
FULL = Simulation(train_clips=1000, test_clips=100, clip_seconds=10.0)
TOY = Simulation(products=2, train_clips=10, test_clips=4, clip_seconds=1.0)
TOY_PROFILE = {
    "backbone": "test_efficientnet", "mel_bins": 32, "segment_seconds": 0.5, "segments": 2,
    "batch_size": 8, "inlier_part": "train", "inlier_sizes": (1, 2), "pretrained": False,
}  # fmt: skip


def row(run: Run, simulation: Simulation) -> dict:
    """What the table says of a run; the first epoch, which warms up, is left out of its speed."""
    speed = run.history.clips_per_second
    speed = (speed[1:] if len(speed) > 1 else speed).median()
    targets = len(run.params["products"]) * simulation.train_clips
    an_epoch = targets * (1 - run.profile.validation_share) * (2 if run.profile.needs_others else 1)
    chosen = run.metrics[run.metrics.chosen]
    return {
        "variant": run.params["variant"],
        "epochs": run.profile.epochs,
        "clips_per_second": round(speed, 1),
        "projected_hours": round(
            an_epoch * Profile().epochs * len(PAPER_TYPES) / speed / 3600, 2
        ),
        "wall_seconds": run.params["wall_seconds"],
        "peak_cuda_gb": round(run.params.get("peak_cuda_bytes", 0) / 1e9, 2),
        "AUC": round(100 * chosen.AUC.mean(), 2),
        "pAUC": round(100 * chosen.pAUC.mean(), 2),
        "harmonic_mean": round(100 * run.result(), 2),
        **stamp(run.params),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="make paper-bench", description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument(
        "--from-scratch", action="store_true", help="without pretrained weights, and the internet"
    )
    parser.add_argument("--small", action="store_true", help="toy size, on any computer")
    parser.add_argument("--folder", help="where to put the clips for a while (default: temporary)")
    parser.add_argument("--out", type=Path, help="the CSV to write, besides printing it")
    arguments = parser.parse_args()
    if not arguments.small and not torch.cuda.is_available():
        sys.exit("a GPU is needed, and torch sees none; --small does the same at toy size")
    simulation, overrides = (TOY, dict(TOY_PROFILE)) if arguments.small else (FULL, {})
    if arguments.from_scratch:
        overrides["pretrained"] = False
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder)
        others = [name for name in MACHINE_TYPES if name != "fan"][: 1 if arguments.small else None]
        corpus = full_size(root, simulation, others)
        paths.waves_dir = lambda corpus: root / "waves"
        for variant in VARIANTS:
            try:
                run = execute(
                    "full-size", "fan", variant, "paper", data_dir=corpus, out_dir=root / "runs",
                    epochs=arguments.epochs, **overrides,
                )  # fmt: skip
            except InputError as error:
                sys.exit(f"error: {error}")
            rows.append(row(run, simulation))
    table = pd.DataFrame(rows)
    print(table.to_csv(index=False), end="")
    if arguments.out:
        table.to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()
