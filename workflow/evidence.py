"""Measure what the book claims: the runs behind each table of book/measured, by question.

The chapter "Protocol" says why these runs, and what decides. ``python -m workflow.evidence NAME``
makes the runs of a study, or goes on with them where it was stopped, and writes the table. A run
that several studies share is made once.
"""

import argparse
import sys
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd

from asdlib.errors import InputError
from asdstudy import paths
from asdstudy.data import is_corpus
from asdstudy.data.machines import MACHINE_TYPES
from asdstudy.data.simulate import Simulation, make_corpus
from asdstudy.report import results
from asdstudy.runs.run import Run
from asdstudy.runs.sweeps import Job, sweep
from asdstudy.systems.weights import LITE0
from workflow import geometry, rescoring, shift

# Question 6, when each loss helps: one dial of the simulator at a time, the other at its default.
DIALS = {
    (dial, value): Simulation(**{dial: value})
    for dial in ("product_similarity", "machine_similarity")
    for value in (0.2, 0.6, 0.9)
}


def dialled(made: Simulation) -> str:
    """The name of a corpus of question 6."""
    return f"similarity-p{made.product_similarity:g}-m{made.machine_similarity:g}"


SIMULATIONS = {
    "simulated": Simulation(),
    "simulated-50": Simulation(train_clips=50),  # question 8
    **{dialled(made): made for made in DIALS.values()},
}
RECORDINGS = {"mimii-mini": "mimii-mini", "uav": "real-mini"}  # a corpus: its folder in ../shared
TYPES = {
    "simulated": MACHINE_TYPES,
    "simulated-50": MACHINE_TYPES,
    "mimii-mini": ("fan", "pump", "slider", "valve"),
    "uav": ("uav",),
}
SIMULATED = [("simulated", of) for of in MACHINE_TYPES]
TWO_SIMULATED = [("simulated", of) for of in ("fan", "slider")]  # where settings are many
MIMII = [("mimii-mini", of) for of in TYPES["mimii-mini"]]
RECORDED = [*MIMII, ("uav", "uav")]
SEEDS, TEN_SEEDS, THREE_SEEDS = range(5), range(10), range(3)
IN_FOLDS = ("mimii-mini",)  # too few IDs for a half that only chooses
TRIAL_SEEDS = (100, 101, 102)  # those of no result
PAPERS_SIDE = {"machine_slope": "positive"}

# What quick was chosen from: a reference, and one change at a time. Nine settings per system. The
# references name what quick had before the trials, since it has what they chose now.
_BEFORE = {"learning_rate": 5e-3, "batch_size": 32, "epochs": 50, "dropout": 0.3}
REFERENCES = {
    "proposed": _BEFORE
    | PAPERS_SIDE
    | {"product_weight": 3.0, "machine_input": "norm", "machine_start": "centred"},
    "serial": _BEFORE | {"weight_decay": 0.0, "mixup_alpha": 0.0},
    "ddcsad": _BEFORE | {"product_weight": 1.0},
}
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
    "serial": _RIVAL | {"weight decay 0.01": {"weight_decay": 0.01}, "Mixup": {"mixup_alpha": 0.2}},
    "ddcsad": _RIVAL | {"lambda 0.3": {"product_weight": 0.3}, "lambda 3": {"product_weight": 3.0}},
}

# Question 1, the parts of the method: Eq. 2, Eq. 1 beside it, Mixup. The score without h is among
# those of every run.
ABLATION = ("proposed", "product-only", "machine-only", "no-mixup")
# Question 2: those of Table II, and the baselines of the challenge.
RIVALS, BASELINES = ("ddcsad", "serial", "parallel"), ("ae", "classifier")
# Question 3, the sides of the sphere. The author's code leaves the side to chance. With the whole
# embedding as the input there is no sphere.
_EACH_SIDE = {
    "others at the centre": PAPERS_SIDE,
    "target at the centre": {"machine_slope": "negative"},
}
SIDES = {name: {"default": change} for name, change in _EACH_SIDE.items()} | {
    "left to chance": {"default": {"machine_slope": "random"}},
    "none": {"whole embedding": {"machine_input": "embedding"}},
}
# And one change at a time, on either side.
SETTINGS = {
    "mean of squares": {"machine_input": "mean-square"},
    "uncentred start": {"machine_start": "layer"},
    "lambda 1": {"product_weight": 1.0},
    "lambda 10": {"product_weight": 10.0},
}
SETTINGS = {
    side: {name: change | of_side for name, change in SETTINGS.items()}
    for side, of_side in _EACH_SIDE.items()
}
# Question 5: every open choice that is not among those of question 3. Those that change only the
# scoring come last: they take the encoders of the default.
SWITCHES = {
    "default": {"default": {}},
    "bias of the product head": {"with a bias": {"product_bias": True}},
    "log-mel": {
        "magnitude instead of power": {"mel_power": 1.0},
        "no logarithm": {"log_mel": False},
        "magnitude, no logarithm": {"log_mel": False, "mel_power": 1.0},
    },
    "log floor": {"0.01 instead of 1e-6": {"log_floor": 0.01}},
    "amplitude": {"each machine by its own statistics": {"normalisation": "own"}},
    "rows of Eq. 1": {
        "all with target sound": {"product_rows": "included"},
        "all rows": {"product_rows": "all"},
        "all rows of mixed batches only": {"product_rows": "all-when-mixed"},
    },
    "schedule of Mixup": {
        "falling": {"mixup_schedule": "falling"},
        "always": {"mixup_schedule": "always"},
    },
    # of product-only, which is here for comparison
    "other machines of product-only": {
        "leave": {"variant": "product-only"},
        "stay": {"variant": "product-only", "keep_others": True},
    },
    # as in the author's code; the same run has the mean probability, too
    "without h": {"mean logit": {"inlier": "output", "inliers": ("none", "output")}},
    "h is fitted on": {"the validation part": {"inlier_part": "validation"}},
    "covariance of the GMM": {"diagonal": {"covariance": "diag"}},
    "aggregation": {
        "lower half": {"aggregation": "lower-half"},
        "mean": {"aggregation": "mean"},
        "maximum": {"aggregation": "max"},
    },
}
# Question 6: the method and either of its losses alone.
LOSSES = ("proposed", "product-only", "machine-only")
# Question 7: ImageNet weights or none, with the paper's picture of a sound and with quick's. The
# large network needs a smaller rate than quick's own.
_LITE0 = {"backbone": "tf_efficientnet_lite0"}
PICTURES = {
    "near the paper": _LITE0
    | PAPERS_SIDE
    | {
        "segment_seconds": 2.0,
        "hop_seconds": 0.016,
        "mel_bins": 224,
        "epochs": 40,
        "batch_size": 32,
        "product_weight": 1.0,
        "learning_rate": 1e-3,
    },
    "quick": _LITE0 | {"learning_rate": 3e-3},
}
STARTS = {"pretrained": {"weights": LITE0}, "from scratch": {"weights": ""}}
# Question 8, what a practitioner has to know: how many clips of a product ID, how many unnoticed
# anomalies among 20, and what a changed condition does to runs with 50. Every run trains on as many
# crops: with the epochs of the profile, one with few clips would stop before it has learnt.
AMOUNTS, CROPS = (3, 6, 10, 20, 50), 2000
CONTAMINATIONS = (0.0, 0.05, 0.1)
FAN_50, DRONE = [("simulated-50", "fan")], [("uav", "uav")]
CHANGES = {change: (change,) for change in ("speed", "load", "noise", "microphone")}
CHANGES["all four"] = tuple(CHANGES)


def folder_of(corpus: str) -> Path:
    """Where a corpus lies: ``../shared`` for recordings, or ``data/<corpus>``."""
    shared = paths.project_root().parent / "shared" / RECORDINGS.get(corpus, "")
    is_there = corpus in RECORDINGS and is_corpus(shared, TYPES[corpus][0])
    return shared if is_there else paths.data_dir(corpus)


def trials(system: str) -> list[Job]:
    """How the settings of ``quick`` for one system were chosen, on validation IDs."""
    return [
        Job(
            {"corpus": corpus, "machine_type": machine_type, "variant": system, "seed": seed}
            | REFERENCES[system]
            | changes,
            {"setting": setting},
        )
        for seed, (corpus, machine_type) in product(TRIAL_SEEDS, [*MIMII, *TWO_SIMULATED])
        for setting, changes in TRIALS[system].items()
    ]


def jobs_with(sound, seeds, changes: dict, **labels) -> list[Job]:
    """A job for each seed and machine type of ``sound``; ``labels`` say what ``changes`` stand for.

    A run of ``quick`` and of ``proposed``, but for the changes.
    """
    return [
        Job(
            {"corpus": corpus, "machine_type": name, "variant": "proposed", "seed": seed} | changes,
            labels,
        )
        for seed in seeds
        for corpus, name in sound
    ]


def ablation(sound) -> list[Job]:
    """Question 1; the average spectrum learns nothing, so that all seeds would be the same."""
    jobs = [job for name in ABLATION for job in jobs_with(sound, TEN_SEEDS, {"variant": name})]
    return jobs + jobs_with(sound, [0], {"variant": "spectrum"})


def systems(names, sound) -> list[Job]:
    """Question 2."""
    return [job for name in names for job in jobs_with(sound, SEEDS, {"variant": name})]


def board(settings: dict[str, dict[str, dict]], name: str, sound) -> list[Job]:
    """Questions 3 and 5: the settings of each ``name``, such as a switch."""
    return [
        job
        for group, changes in settings.items()
        for setting in changes
        for job in jobs_with(sound, SEEDS, changes[setting], **{name: group, "setting": setting})
    ]


def dials() -> list[Job]:
    """Question 6."""
    labels = [{"dial": dial, "setting": value} for dial, value in DIALS]
    sounds = [[(dialled(made), "fan"), (dialled(made), "slider")] for made in DIALS.values()]
    return [
        job
        for sound, about in zip(sounds, labels, strict=True)
        for variant in LOSSES
        for job in jobs_with(sound, SEEDS, {"variant": variant}, **about)
    ]


def pretrained() -> list[Job]:
    """Question 7; near the paper with three seeds, since a run takes minutes there."""
    return [
        job
        for picture, seeds in (("near the paper", THREE_SEEDS), ("quick", SEEDS))
        for start in STARTS
        for job in jobs_with(
            MIMII, seeds, PICTURES[picture] | STARTS[start], picture=picture, start=start
        )
    ]


def amount(sound, amounts=AMOUNTS) -> list[Job]:
    """Question 8: the normal clips that somebody has of each product ID."""
    return [
        job
        for clips in amounts
        for job in jobs_with(
            sound, SEEDS, {"train_clips": clips, "epochs": CROPS // clips}, **{"train clips": clips}
        )
    ]


def contamination(sound) -> list[Job]:
    """Question 8: the share of anomalies among 20 clips that somebody takes for normal."""
    return [
        job
        for share in CONTAMINATIONS
        for job in jobs_with(
            sound, SEEDS, {"train_clips": 20, "contamination": share}, contamination=share
        )
    ]


# Recordings and simulated sound have separate tables: they are never averaged.
STUDIES = {
    **{f"trials-{system}": partial(trials, system) for system in TRIALS},
    "ablation-recordings": partial(ablation, RECORDED),
    "ablation-simulated": partial(ablation, SIMULATED),
    "rivals-recordings": partial(systems, RIVALS, RECORDED),
    "rivals-simulated": partial(systems, RIVALS, SIMULATED),
    "baselines-recordings": partial(systems, BASELINES, RECORDED),
    "baselines-simulated": partial(systems, BASELINES, SIMULATED),
    "sides-recordings": partial(board, SIDES, "side", RECORDED),
    "sides-simulated": partial(board, SIDES, "side", TWO_SIMULATED),
    "settings-recordings": partial(board, SETTINGS, "side", MIMII),
    "settings-simulated": partial(board, SETTINGS, "side", TWO_SIMULATED),
    "switches-recordings": partial(board, SWITCHES, "switch", MIMII),
    "dials": dials,
    "pretrained": pretrained,
    "amount-recordings": partial(amount, DRONE),
    "amount-simulated": partial(amount, FAN_50),
    "contamination-recordings": partial(contamination, DRONE),
    "contamination-simulated": partial(contamination, FAN_50),
}
SCORES = {"scores-recordings": RECORDED}  # question 4
# Where the embeddings of the runs of questions 1 and 3 are.
GEOMETRY = {
    f"geometry-{name}": name
    for name in ("ablation-recordings", "sides-recordings", "sides-simulated")
}
SHIFTED = "shift-simulated"  # question 8
EVERY = [*STUDIES, *SCORES, *GEOMETRY, SHIFTED]


def runs_of(jobs: list[Job], workers: int | None) -> list[Run]:
    """The runs of some jobs, made or gone on with; simulated corpora are made first."""
    for corpus in sorted({job.arguments["corpus"] for job in jobs}):
        folder = folder_of(corpus)
        if corpus in SIMULATIONS:
            make_corpus(folder, SIMULATIONS[corpus], workers=workers)
        for job in jobs:
            if job.arguments["corpus"] == corpus:
                job.arguments["data_dir"] = folder
    return sweep(jobs, workers)


def measure(study: str, workers: int | None) -> Path:
    """Make the runs of a study, and its table ``book/measured/<study>.csv``."""
    jobs = STUDIES[study]()
    of_trials = study.startswith("trials")
    labels = [job.labels for job in jobs]
    table = results.collect(runs_of(jobs, workers), labels, () if of_trials else IN_FOLDS)
    if of_trials:  # they choose a profile, on the validation IDs, and no other row counts
        table = table[table.chosen & (table.role == "validation")]
    return _save(table, study)


def scores(study: str, workers: int | None) -> Path:
    """Question 4: the embeddings of the proposed method, scored in more ways.

    These are five seeds of question 1, whose table has everything else about these runs.
    """
    jobs = jobs_with(SCORES[study], SEEDS, {})
    return _save(rescoring.table(runs_of(jobs, workers), workers), study)


def places(study: str, workers: int | None) -> Path:
    """Norms and neighbours in the embeddings of the runs of a study, where they have any."""
    jobs = [j for j in STUDIES[GEOMETRY[study]]() if j.arguments["variant"] != "spectrum"]
    return _save(geometry.table(runs_of(jobs, workers), [job.labels for job in jobs]), study)


def shifted(study: str, workers: int | None) -> Path:
    """Question 8: the runs with 50 clips, on sound of a target domain for each changed thing."""
    jobs = amount(FAN_50, [max(AMOUNTS)])
    where = {"nothing": (folder_of("simulated-50"), "source")}
    for change, changes in CHANGES.items():
        made = Simulation(train_clips=0, test_clips=0, target_test_clips=20, target_changes=changes)
        folder = folder_of(f"shift-{change.replace(' ', '-')}")
        where[change] = (make_corpus(folder, made, ["fan"], workers), "target")
    return _save(shift.table(runs_of(jobs, workers), where, workers), study)


def _save(table: pd.DataFrame, study: str) -> Path:
    return results.save(results.thinned(table), paths.measured_dir() / f"{study}.csv")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("study", nargs="*", choices=EVERY, help="all unless named")
    parser.add_argument("--workers", type=int, default=0, help="runs at a time; 0: one per core")
    chosen = parser.parse_args()
    make = dict.fromkeys(STUDIES, measure) | dict.fromkeys(SCORES, scores)
    make |= dict.fromkeys(GEOMETRY, places) | {SHIFTED: shifted}
    for study in chosen.study or EVERY:
        table = make[study](study, chosen.workers or None)
        print(f"{study}: {table}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")
