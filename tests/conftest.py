"""What the tests share: small corpora of noise, and what is skipped where it is missing."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from asdstudy.cli import app
from asdstudy.runs.plan import Plan
from asdstudy.runs.record import FILES, STAGES

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
ODD = "Lüfter 1.2 [50%] {a} ~*"  # a name of a folder or a machine type, which may hold all of this
# The suite is about the CPU, on every computer; test_cuda.py starts processes that see a GPU. Torch
# looks at this when it is first asked for a device.
GPUS = os.environ.get("CUDA_VISIBLE_DEVICES")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
torch.set_num_threads(min(int(os.environ.get("OMP_NUM_THREADS", 2)), os.cpu_count() or 1))


def shared(name: str) -> Path:
    """A folder beside the checkout; the test skips, saying so, where it is missing."""
    if not (SHARED / name).exists():
        pytest.skip(f"../shared/{name} is not beside the checkout")
    return SHARED / name


def write_clip(path: Path, seconds: float = 1.5, seed: int = 0, rate: int = 16_000, **format):
    """A clip of noise; ``format`` goes to soundfile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate))
    soundfile.write(path, noise, rate, **{"subtype": "PCM_16"} | format)
    return path


def write_corpus(
    root: Path, machine_types=("pump", "fan"), products=2, train=6, test=2, seconds=1.5
):
    """A corpus of noise in the DCASE 2021 layout: ``train`` clips and ``test`` of each label."""
    seed = 0
    for machine_type in machine_types:
        for product in range(products):
            stem = f"section_{product:02d}_source"
            kinds = [("train", "train", "normal", train)]
            kinds += [("source_test", "test", label, test) for label in ("normal", "anomaly")]
            for folder, split, label, count in kinds:
                for number in range(count):
                    seed += 1
                    name = f"{stem}_{split}_{label}_{number:04d}_hum.wav"
                    write_clip(root / machine_type / folder / name, seconds, seed)
    return root


def write_finished(plan: Plan) -> None:
    """What looks like the folder of a finished run, with files that nobody reads."""
    plan.folder.mkdir(parents=True)
    for name in sum(FILES.values(), ()):
        (plan.folder / name).write_text("something")
    sections = dict.fromkeys(STAGES, {"identity": {}})
    (plan.folder / "params.json").write_text(json.dumps(plan.record | sections))


def asd(*words):
    """The console command, without the exit status 0 at its end."""
    app([str(word) for word in words], prog_name="asd", standalone_mode=False)


@pytest.fixture(autouse=True)
def _own_data_folder(tmp_path_factory, monkeypatch):
    """Wave banks and runs of tests land in a temporary folder; short epochs have checkpoints."""
    from asdstudy import paths
    from asdstudy.runs import checkpoints

    folder = tmp_path_factory.mktemp("study")
    monkeypatch.setattr(paths, "waves_dir", lambda corpus: folder / "waves" / corpus)
    monkeypatch.setattr(paths, "runs_dir", lambda: folder / "runs")
    monkeypatch.setattr(checkpoints, "EVERY", 0)


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


@pytest.fixture
def table() -> pd.DataFrame:
    """A table of results: two machine types, two seeds, four product IDs, systems of Table III."""
    rng = np.random.default_rng(0)
    rows = pd.MultiIndex.from_product(
        [
            ("proposed", "no-mixup", "product-only"),
            (0, 1),
            ("fan", "slider"),
            ("00", "01", "02", "03"),
            ("GMM", "none"),
        ],
        names=["variant", "seed", "machine_type", "product", "inlier"],
    ).to_frame(index=False)
    lift = rows.variant.map({"proposed": 0.2, "no-mixup": 0.1, "product-only": 0.0})
    areas = 0.55 + lift * (rows.inlier == "GMM")
    return rows.assign(
        corpus="simulated", role=np.where(rows["product"] < "02", "validation", "test"), size=2,
        chosen=rows.inlier == "GMM", AUC=areas + 0.02 * rng.random(len(rows)),
        pAUC=areas + 0.02 * rng.random(len(rows)), models=1, parameters=10, wall_seconds=1.0,
        cpu_seconds=2.0 + rows.seed, profile="quick", fingerprint="f", overrides="{}", commit="c",
        device="cpu", threads="1", versions="torch 2", finished="2025-01-01",
    )  # fmt: skip
