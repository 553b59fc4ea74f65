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
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.scoring import check_enough, metrics_by_product, score_clips
from asdlib.waves import WaveBank, onto_device
from asdstudy import paths
from asdstudy.data import labels_of, open_corpus, sound_fingerprint
from asdstudy.official import write_submission
from asdstudy.runs.checkpoints import Checkpoints
from asdstudy.runs.plan import Plan
from asdstudy.runs.provenance import code_hash, provenance
from asdstudy.runs.run import Run, read_scores
from asdstudy.systems import centroid, system_of
from asdstudy.systems.task import Task, make_task

FILES = {
    "train": ("encoder.safetensors", "history.csv"),
    "embed": ("embeddings.npz",),
    "score": ("scores.csv", "submission"),
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
    with _stage(plan, "train", identity) as leave, checkpoints.kept():
        trained = system_of(plan.variant).train(replace(task, checkpoints=checkpoints))
        weights = {name: value.cpu().contiguous() for name, value in trained.weights.items()}
        leave(
            partial(save_file, weights),
            partial(trained.history.to_csv, index=False),
            products=list(task.split.products),
            models=trained.networks,
            parameters=trained.parameters,
            resumed=checkpoints.resumed,  # then the times are of the rest only
            **({"peak_cuda_bytes": torch.cuda.max_memory_allocated()} if cuda else {}),
        )
    return trained.history


def embed(plan: Plan, banks: dict[str, WaveBank], progress: bool = True) -> Embedded:
    """EMBED: encoder and clips become ``embeddings.npz``, all train clips marked by their part."""
    trained = _section(plan, "train")["identity"]
    labels = labels_of(pd.concat([bank.clips for bank in banks.values()]))
    identity = {"trained": _mark(trained), "labels": labels, "code": _code(plan)}
    if trained["fingerprint"] != sound_fingerprint(banks):
        raise InputError(f"{plan.folder}: trained on other sound; expected the same corpus")
    if not _is_done(plan, "embed", identity):
        with _stage(plan, "embed", identity) as leave:
            weights = load_file(plan.folder / "encoder.safetensors")
            embedded = system_of(plan.variant).embed(task_of(plan, banks, progress), weights)
            leave(embedded.save, fingerprint=trained["fingerprint"], labels=labels)
    return Embedded.load(plan.folder / "embeddings.npz")


def score(plan: Plan) -> pd.DataFrame:
    """SCORE: embeddings become ``scores.csv``, and h and p are chosen; no network, no training."""
    if not _has(plan, "train", {}):
        _take(plan, "train", plan.training)
    trained = _section(plan, "train")
    _is_done(plan, "embed", {"trained": _mark(trained["identity"])})
    by = {"embedded": _mark(_section(plan, "embed")["identity"])}
    identity = by | {"code": code_hash("asdlib.scoring", centroid.__name__)} | plan.scoring
    if not _has(plan, "score", identity):
        with _stage(plan, "score", identity) as leave:
            embedded, part = Embedded.load(plan.folder / "embeddings.npz"), plan.profile.inlier_part
            fit, test = embedded.fitted_on(part), embedded.of_parts("test")
            products = trained["products"]
            scores, choice = score_clips(fit, test, products, plan.profile, plan.seed)
            leave(
                partial(scores.to_csv, index=False),
                partial(write_submission, scores, plan.machine_type),
                choice=choice,
                fitted_on=f"{part} part, {len(fit.clips)} clips",
            )
    return read_scores(plan.folder)


def evaluate(plan: Plan) -> Run:
    """EVALUATE: scores and labels become ``metrics.csv``; the run is finished."""
    scored = _section(plan, "score")
    identity = {"scored": _mark(scored["identity"]), "code": code_hash("asdlib.metrics")}
    if not _has(plan, "evaluate", identity):
        with _stage(plan, "evaluate", identity) as leave:
            table = metrics_by_product(read_scores(plan.folder), scored["choice"])
            leave(partial(table.to_csv, index=False))
    return Run(plan.folder)


def _code(plan: Plan) -> str:
    return code_hash(system_of(plan.variant).__name__)


def _mark(identity: dict) -> str:
    """A short hash of what a stage was done with, for the one that stands on it."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _record(folder: Path) -> dict:
    path = folder / "params.json"
    return json.loads(path.read_text()) if path.exists() else {}


def _section(plan: Plan, stage: str) -> dict:
    """What the record says of a stage, or an :class:`InputError` where it is not done."""
    if not _has(plan, stage, {}):
        raise InputError(f"{plan.folder}: not done yet: {stage}; expected it before what follows")
    return _record(plan.folder)[stage]


def _has(plan: Plan, stage: str, identity: dict, folder: Path | None = None) -> bool:
    """Whether a folder has a stage of that identity, as far as it is named, with its files."""
    folder = folder or plan.folder
    done_with = _record(folder).get(stage, {}).get("identity")
    return (
        done_with is not None
        and identity.items() <= done_with.items()
        and all((folder / name).exists() for name in FILES[stage])
    )


def _is_done(plan: Plan, stage: str, identity: dict) -> bool:
    """Whether a stage is done in the run's folder, or in another from which it can be taken."""
    return _has(plan, stage, identity) or _take(plan, stage, identity)


def _take(plan: Plan, stage: str, identity: dict) -> bool:
    """Copy the files of a stage from a run beside that did the same, if there is one."""
    for other in sorted(plan.folder.parent.glob("*/params.json")):
        if other.parent != plan.folder and _has(plan, stage, identity, other.parent):
            writers = [partial(shutil.copyfile, other.parent / name) for name in FILES[stage]]
            _leave(plan, stage, writers, _record(other.parent)[stage])
            return True
    return False


@contextmanager
def _stage(plan: Plan, stage: str, identity: dict):
    """``with _stage(...) as leave:`` ``leave(*writers, **facts)`` writes its files and its section.

    A writer takes the path to write to; they are in the order of ``FILES``. UserWarnings inside are
    said, and in the section.
    """
    begun, worked, warned = time.perf_counter(), time.process_time(), set()

    def say(message, category, *_):
        if str(message) not in warned:
            print(f"warning: {message}", file=sys.stderr)
        warned.add(str(message))

    def leave(*writers: Callable[[Path], object], **facts) -> None:
        facts = {
            **facts,
            "identity": identity,
            "warnings": sorted(warned),
            "wall_seconds": round(time.perf_counter() - begun, 1),
            "cpu_seconds": round(time.process_time() - worked, 1),  # of all threads
            **provenance(),
        }
        _leave(plan, stage, writers, facts)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = say
        yield leave


def _leave(plan: Plan, stage: str, writers, section: dict) -> None:
    """Write the files of a stage, then its section; what later stages left is of no stage then."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    parts = {plan.folder / name: paths.own_part(plan.folder / name) for name in FILES[stage]}
    try:
        for part, write in zip(parts.values(), writers, strict=True):
            write(part)
        later = list(FILES)[list(FILES).index(stage) :]
        sections = {n: s for n, s in _record(plan.folder).items() if n in FILES and n not in later}
        _write_record(plan.folder, plan.record | sections)
        for path, part in parts.items():
            _remove(path)
            part.replace(path)
        _write_record(plan.folder, plan.record | sections | {stage: section})
    finally:
        for path, part in parts.items():
            for left in (part, *paths.left_parts(path)):
                _remove(left)


def _write_record(folder: Path, record: dict) -> None:
    part = paths.own_part(folder / "params.json")
    part.write_text(json.dumps(record, indent=1))
    part.replace(folder / "params.json")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
