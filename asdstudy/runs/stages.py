"""The stages of a run: train, embed, score, evaluate. Each reads what the one before it left.

They meet in the run's folder only. ``params.json`` there has a section a stage, which says what it
was done with, and is written when the files of the stage are whole. A stage that was done with the
same parameters, sound and code is not done again; one that is removes what the later ones left. The
encoder and the embeddings of a run that differs in its scoring alone are taken as they are.
"""

import hashlib
import json
import shutil
import sys
import time
import warnings
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits

from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.scoring import check_enough, metrics_by_product, score_clips
from asdlib.thresholds import calibrated, detection
from asdlib.waves import WaveBank
from asdstudy import paths
from asdstudy.data import labels_of, open_corpus, sound_fingerprint
from asdstudy.official import write_submission
from asdstudy.runs.checkpoints import Checkpoints, refuse_full_disk
from asdstudy.runs.device import onto_device
from asdstudy.runs.plan import Plan
from asdstudy.runs.provenance import code_hash, provenance
from asdstudy.runs.run import Run, read_record, read_scores, read_thresholds
from asdstudy.systems import centroid, system_of
from asdstudy.systems.task import Task, make_task

FILES = {
    "train": ("encoder.safetensors", "history.csv"),
    "embed": ("embeddings.npz",),
    "score": ("scores.csv", "thresholds.json", "submission"),
    "evaluate": ("metrics.csv",),
}


def execute(
    corpus: str,
    machine_type: str,
    variant: str = "proposed",
    profile: str = "quick",
    seed: int = 0,
    data_dir=None,
    out_dir=None,
    progress: bool = True,
    **overrides,
) -> Run:
    """All stages of a run, as far as they are not done; ``overrides`` are fields of the profile.

    One that was interrupted goes on from its last epoch (:mod:`asdstudy.runs.checkpoints`).
    """
    plan = Plan(corpus, machine_type, variant, profile, seed, overrides, out_dir)
    _, banks = open_corpus(corpus, data_dir, machine_type, progress)
    train(plan, banks, progress)
    embed(plan, banks, progress)
    score(plan)
    return evaluate(plan)


def task_of(plan: Plan, banks: dict[str, WaveBank], progress: bool = True) -> Task:
    """The split of the clips, checked: what can be known to fail later is refused here."""
    system, profile = system_of(plan.variant), plan.profile
    task = make_task(system, plan.machine_type, banks, profile, plan.seed, progress)
    rows = task.train_rows if profile.inlier_part == "train" else task.split.validation.rows
    segments = profile.segments if system.SEGMENTED else 1
    check_enough(task.bank.clips.iloc[rows], segments, profile)
    return task


def train(plan: Plan, banks: dict[str, WaveBank], progress: bool = True) -> pd.DataFrame:
    """TRAIN: the clips become ``encoder.safetensors`` and ``history.csv``, which is returned."""
    cuda, task = torch.cuda.is_available(), task_of(plan, banks, progress)
    identity = plan.training | {
        "fingerprint": sound_fingerprint(banks),
        "split": task.split_hash,  # the corpus may say later which clips are of one event
        "code": _code(plan),
    }
    if _is_done(plan, "train", identity):
        return pd.read_csv(plan.folder / "history.csv")
    # a checkpoint is of one machine's numbers, a finished encoder is what it is
    checkpoints = Checkpoints(plan.folder, identity | {"torch": torch.__version__, "cuda": cuda})
    if cuda:
        torch.cuda.reset_peak_memory_stats()  # of this run alone
        heard = None if task.split.others_train else [plan.machine_type]
        task = task_of(plan, onto_device(banks, heard), progress)
    elif plan.profile_name == "paper":
        warnings.warn("no CUDA device; the paper profile is very slow without one", stacklevel=2)
    with checkpoints.kept(), _stage(plan, "train", identity) as (part, section):
        trained = system_of(plan.variant).train(replace(task, checkpoints=checkpoints))
        weights = {name: value.cpu().contiguous() for name, value in trained.weights.items()}
        save_file(weights, part / "encoder.safetensors")
        trained.history.to_csv(part / "history.csv", index=False)
        section["products"] = list(task.split.products)
        section["models"], section["parameters"] = trained.networks, trained.parameters
        bank = task.bank
        section["amplitude_mean"], section["amplitude_std"] = bank.mean, bank.std
        section["resumed"] = checkpoints.resumed  # then the times are of the rest only
        if cuda:
            section["peak_cuda_bytes"] = torch.cuda.max_memory_allocated()
    return trained.history


def embed(plan: Plan, banks: dict[str, WaveBank], progress: bool = True) -> Embedded:
    """EMBED: encoder and clips become ``embeddings.npz``, all train clips marked by their part."""
    trained = _section(plan, "train")["identity"]
    labels = labels_of(pd.concat([bank.clips for bank in banks.values()]))
    identity = {"trained": _mark(trained), "labels": labels, "code": _code(plan)}
    if trained["fingerprint"] != sound_fingerprint(banks):
        raise InputError(f"{plan.folder}: trained on other sound; expected the same corpus")
    if not _is_done(plan, "embed", identity):
        with _stage(plan, "embed", identity) as (part, section):
            weights = load_file(plan.folder / "encoder.safetensors")
            embedded = system_of(plan.variant).embed(task_of(plan, banks, progress), weights)
            embedded.save(part / "embeddings.npz")
            section |= {"fingerprint": trained["fingerprint"], "labels": labels}
    return Embedded.load(plan.folder / "embeddings.npz")


def score(plan: Plan) -> pd.DataFrame:
    """SCORE: embeddings become ``scores.csv``, h and p are chosen, and a threshold for each product
    ID goes to ``thresholds.json``; no network, no training."""
    if not _has(plan.folder, "train"):
        _take(plan, "train", plan.training)
    trained = _section(plan, "train")
    _is_done(plan, "embed", {"trained": _mark(trained["identity"])})
    embedded_by = {"embedded": _mark(_section(plan, "embed")["identity"])}
    code = code_hash("asdlib.scoring", "asdlib.thresholds", centroid.__name__)
    identity = embedded_by | {"code": code} | plan.scoring
    if not _has(plan.folder, "score", identity):
        # one thread: sums over several would not end with the same bits everywhere
        with threadpool_limits(1), _stage(plan, "score", identity) as (part, section):
            embedded = Embedded.load(plan.folder / "embeddings.npz")
            fit, test = embedded.fitted_on(plan.profile.inlier_part), embedded.of_parts("test")
            settings = trained["products"], plan.profile, plan.seed
            scores, choice = score_clips(fit, test, *settings)
            section["choice"], chosen = choice, choice["inlier"]
            section["fitted_on"] = f"{plan.profile.inlier_part} part, {len(fit.clips)} clips"
            scores.to_csv(part / "scores.csv", index=False)
            thresholds = calibrated(embedded, chosen, choice["sizes"][chosen], *settings)
            (part / "thresholds.json").write_text(json.dumps(thresholds, indent=1))
            by_product = {name: one["gamma"] for name, one in thresholds["products"].items()}
            by_domain = {"source_test", "target_test"} >= {p.parent.name for p in test.clips.path}
            folder = part / "submission"
            write_submission(scores, plan.machine_type, folder, by_product, by_domain)
    return read_scores(plan.folder)


def evaluate(plan: Plan) -> Run:
    """EVALUATE: scores, thresholds and labels become ``metrics.csv``; the run is finished."""
    scored = _section(plan, "score")
    code = code_hash("asdlib.metrics", "asdlib.thresholds")
    identity = {"scored": _mark(scored["identity"]), "code": code}
    if not _has(plan.folder, "evaluate", identity):
        with _stage(plan, "evaluate", identity) as (part, _):
            scores = read_scores(plan.folder)
            thresholds = read_thresholds(plan.folder)["products"]
            decisions = detection(scores, {n: one["gamma"] for n, one in thresholds.items()})
            table = metrics_by_product(scores, scored["choice"])
            table = table.merge(decisions.assign(chosen=True), "left", ["product", "chosen"])
            table.to_csv(part / "metrics.csv", index=False)
    return Run(plan.folder)


def _code(plan: Plan) -> str:
    return code_hash(system_of(plan.variant).__name__)


def _mark(identity: dict) -> str:
    """A short hash of what a stage was done with, for the one that stands on it."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _section(plan: Plan, stage: str) -> dict:
    """What the record says of a stage, or an :class:`InputError` where it is not done."""
    if not _has(plan.folder, stage):
        raise InputError(f"{plan.folder}: not done yet: {stage}; expected it before what follows")
    return read_record(plan.folder)[stage]


def _has(folder: Path, stage: str, identity: dict | None = None) -> bool:
    """Whether a run folder has a stage, of that identity as far as it is named, and its files."""
    section = read_record(folder).get(stage)
    return (
        section is not None
        and (identity or {}).items() <= section["identity"].items()
        and all(_is_whole(folder / name) for name in FILES[stage])
    )


def _is_whole(path: Path) -> bool:
    """Whether a file, which is never empty, or a folder is there."""
    return path.is_dir() or path.is_file() and path.stat().st_size > 0


def _is_done(plan: Plan, stage: str, identity: dict) -> bool:
    """Whether a stage is done in the run's folder, or in another from which it can be taken."""
    return _has(plan.folder, stage, identity) or _take(plan, stage, identity)


def _take(plan: Plan, stage: str, identity: dict) -> bool:
    """Copy a stage from a run beside that did the same, if there is one."""
    for folder in sorted(path.parent for path in plan.folder.parent.glob("*/params.json")):
        if folder != plan.folder and _has(folder, stage, identity):
            with _leaving(plan, stage) as (part, section):
                for name in FILES[stage]:
                    shutil.copyfile(folder / name, part / name)
                section |= read_record(folder)[stage]
            return True
    return False


@contextmanager
def _stage(plan: Plan, stage: str, identity: dict):
    """:func:`_leaving`, with what there is to record of a stage that was really done.

    UserWarnings inside are said, and in its section.
    """
    begun, worked, warned = time.perf_counter(), time.process_time(), set()

    def say(message, category, *_):
        if str(message) not in warned:
            print(f"warning: {message}", file=sys.stderr)
        warned.add(str(message))

    with warnings.catch_warnings(), _leaving(plan, stage) as (part, section):
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = say
        yield part, section
        section |= {
            "identity": identity,
            "warnings": sorted(warned),
            "wall_seconds": round(time.perf_counter() - begun, 1),
            "cpu_seconds": round(time.process_time() - worked, 1),  # of all threads
            **provenance(),
        }


@contextmanager
def _leaving(plan: Plan, stage: str):
    """``with _leaving(...) as (part, section):`` the files of a stage are written into ``part``.

    They are moved to the run's folder when they are whole, and ``section`` is recorded. What later
    stages left is of no stage then.
    """
    part, section = paths.own_part(plan.folder / stage), {}
    for left in paths.left_parts(plan.folder / stage):
        shutil.rmtree(left)
    part.mkdir(parents=True)

    def record(sections: dict) -> None:
        (part / "params.json").write_text(json.dumps(plan.record | sections, indent=1))
        (part / "params.json").replace(plan.folder / "params.json")

    try:
        yield part, section
        earlier = list(FILES)[: list(FILES).index(stage)]
        sections = {n: s for n, s in read_record(plan.folder).items() if n in earlier}
        record(sections)
        for name in FILES[stage]:
            shutil.rmtree(plan.folder / name, ignore_errors=True)  # where it is a folder
            (part / name).replace(plan.folder / name)
        record(sections | {stage: section})
    except Exception as error:
        refuse_full_disk(error, plan.folder)
        raise
    finally:
        shutil.rmtree(part)
