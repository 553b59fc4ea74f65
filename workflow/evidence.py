"""Measure what the book claims: the runs behind each table of book/measured, by question.

The chapter "Protocol" says why these runs, and what decides. ``python workflow/evidence.py NAME``
makes the runs of a study, or goes on with them where it was stopped, and writes the table.
"""

import argparse
import sys
from functools import partial
from itertools import product
from pathlib import Path

from asdlib.errors import InputError
from asdstudy import paths
from asdstudy.data import is_corpus
from asdstudy.data.machines import MACHINE_TYPES
from asdstudy.data.simulate import Simulation, make_corpus
from asdstudy.report import results
from asdstudy.runs.sweeps import Job, sweep

SIMULATIONS = {
    "simulated": Simulation(),
    "simulated-small": Simulation(train_clips=20, test_clips=20),
}
RECORDINGS = {"mimii-mini": "mimii-mini", "uav": "real-mini"}  # a corpus: its folder in ../shared
TYPES = {
    "simulated": MACHINE_TYPES,
    "simulated-small": ("fan", "slider"),
    "mimii-mini": ("fan", "pump", "slider", "valve"),
    "uav": ("uav",),
}
TRIAL_SEEDS = (100, 101, 102)  # those of no result
PAPERS_SIDE = {"machine_slope": "positive"}

# What quick was chosen from: a reference, and one change at a time. Nine settings a system.
_RATES = {
    "learning rate 0.002": {"learning_rate": 2e-3},
    "learning rate 0.01": {"learning_rate": 1e-2},
}
_RIVAL = {
    "reference": {},
    **_RATES,
    "25 epochs": {"epochs": 25},
    "100 epochs": {"epochs": 100},
    "no dropout": {"dropout": 0.0},
    "batches of 64": {"batch_size": 64},
}
_CLASSIFIER = _RIVAL | {
    "weight decay 0.01": {"weight_decay": 0.01},
    "Mixup": {"mixup_alpha": 0.2},
}
TRIALS = {
    "proposed": {
        "reference": {},
        "target at the centre": {"machine_slope": "negative"},
        "mean of squares": {"machine_input": "mean-square"},
        "uncentred start": {"machine_start": "layer"},
        **_RATES,
        "lambda 1": {"product_weight": 1.0},
        "lambda 10": {"product_weight": 10.0},
        "100 epochs": {"epochs": 100},
    },
    "serial": _CLASSIFIER,
    "classifier": _CLASSIFIER,
    "ddcsad": _RIVAL | {"lambda 0.3": {"product_weight": 0.3}, "lambda 3": {"product_weight": 3.0}},
    # the official baseline: all its other numbers are the organisers'
    "ae": {
        "reference": {},
        "25 epochs": {"epochs": 25},
        "50 epochs": {"epochs": 50},
        "200 epochs": {"epochs": 200},
    },
}


def folder_of(corpus: str) -> Path:
    """Where a corpus lies: ``../shared`` for recordings, or ``data/<corpus>``."""
    shared = paths.project_root().parent / "shared" / RECORDINGS.get(corpus, "")
    is_there = corpus in RECORDINGS and is_corpus(shared, TYPES[corpus][0])
    return shared if is_there else paths.data_dir(corpus)


def trials(system: str) -> list[Job]:
    """How the settings of ``quick`` for one system were chosen, on validation IDs."""
    base = PAPERS_SIDE if system == "proposed" else {}
    return [
        Job(
            {"corpus": corpus, "machine_type": machine_type, "variant": system, "seed": seed}
            | base
            | changes,
            {"setting": setting},
        )
        for corpus in ("mimii-mini", "simulated-small")
        for seed, machine_type in product(TRIAL_SEEDS, TYPES[corpus])
        for setting, changes in TRIALS[system].items()
    ]


STUDIES = {f"trials-{system}": partial(trials, system) for system in TRIALS}


def measure(study: str, workers: int) -> Path:
    """Make the runs of a study, and its table ``book/measured/<study>.csv``."""
    jobs = STUDIES[study]()
    for corpus in sorted({job.arguments["corpus"] for job in jobs}):
        folder = folder_of(corpus)
        if corpus in SIMULATIONS:
            make_corpus(folder, SIMULATIONS[corpus], workers=workers)
        for job in jobs:
            if job.arguments["corpus"] == corpus:
                job.arguments["data_dir"] = folder
    runs = sweep(jobs, workers)
    labels = [job.labels for job in jobs]
    return results.save(results.collect(runs, labels), paths.measured_dir() / f"{study}.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", nargs="*", choices=STUDIES, help="all unless named")
    parser.add_argument("--workers", type=int, default=0, help="runs at a time; 0: one a core")
    chosen = parser.parse_args()
    for study in chosen.study or STUDIES:
        print(f"{study}: {measure(study, chosen.workers or None)}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
