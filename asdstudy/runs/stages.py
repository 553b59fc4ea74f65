"""The stages of a run: train, embed, score, evaluate. Each reads what the one before it left.

They meet on the disk only. Each stage makes a draft of the run: the files of the stages before it,
its own, and the record of its identity. The last stage makes the run's folder of it, in
place of an earlier run. A stage that was done with the same parameters, sound and code is not done
again, and a run takes the encoder and the embeddings of another that differs in its scoring alone.
"""

import json
import shutil
import sys
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from threadpoolctl import threadpool_limits

from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.scoring import score_clips
from asdlib.waves import WaveBank
from asdstudy import paths
from asdstudy.data import open_corpus, sound_fingerprint
from asdstudy.official import write_submission
from asdstudy.runs import record
from asdstudy.runs.card import card
from asdstudy.runs.checkpoints import Checkpoints
from asdstudy.runs.device import keep_heap, onto_device
from asdstudy.runs.embeddings import read_embeddings, write_embeddings
from asdstudy.runs.enough import check_clips, check_fit
from asdstudy.runs.evaluation import detection, metrics_by_product
from asdstudy.runs.plan import Plan
from asdstudy.runs.provenance import code_hash, provenance
from asdstudy.runs.run import Run, read_scores, read_thresholds
from asdstudy.runs.thresholds import calibrated
from asdstudy.systems import centroid, system_of  # noqa: F401 (centroid joins INLIERS)
from asdstudy.systems.task import Task, make_task


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

    One that was interrupted goes on from where it was (:mod:`asdstudy.runs.checkpoints`).
    """
    plan = Plan(corpus, machine_type, variant, profile, seed, overrides, out_dir)
    _, banks = open_corpus(corpus, data_dir, machine_type, progress, plan.profile.domain)
    train(plan, banks, progress)
    embed(plan, banks, progress)
    score(plan)
    return evaluate(plan)


def task_of(plan: Plan, banks: dict[str, WaveBank], progress: bool = True) -> Task:
    """The split of the clips, checked: refuses here what would fail later."""
    system, profile = system_of(plan.variant), plan.profile
    task = make_task(system, plan.machine_type, banks, profile, plan.seed, progress)
    rows = task.train_rows if profile.inlier_part == "train" else task.split.validation.rows
    segments = profile.segments if system.SEGMENTED else 1
    check_clips(task.bank.clips.iloc[rows], segments, profile)
    return task


def train(plan: Plan, banks: dict[str, WaveBank], progress: bool = True) -> pd.DataFrame:
    """TRAIN: the clips become ``encoder.safetensors`` and ``history.csv``, which is returned."""
    keep_heap()
    cuda, task = torch.cuda.is_available(), task_of(plan, banks, progress)
    paths.make_folder(plan.folder.parent)
    identity = plan.training | {
        "fingerprint": sound_fingerprint(banks),
        "split": task.split_hash,  # the corpus may say later which clips are of one event
        "code": code_hash(*plan.code("train")),
    }
    if record.is_done(plan, "train", identity) or _take(plan, "train", identity):
        return pd.read_csv(record.place_of(plan) / "history.csv")
    # a checkpoint needs the same torch and device, a finished encoder does not
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
        section["amplitude_mean"], section["amplitude_std"] = task.bank.mean, task.bank.std
        section["resumed"] = checkpoints.resumed  # then the times are of the rest only
        if cuda:
            section["peak_cuda_bytes"] = torch.cuda.max_memory_allocated()
    return trained.history


def embed(plan: Plan, banks: dict[str, WaveBank], progress: bool = True) -> Embedded:
    """EMBED: encoder and clips become ``embeddings.npz``, all train clips marked by their part."""
    keep_heap()
    identity = record.identity_of(plan, "embed", banks)
    if record.section_of(plan, "train")["identity"]["fingerprint"] != identity["fingerprint"]:
        raise InputError(f"{plan.folder}: trained on other sound; expected the same corpus")
    if not (record.is_done(plan, "embed", identity) or _take(plan, "embed", identity)):
        with _stage(plan, "embed", identity) as (part, section):
            weights = load_file(record.place_of(plan) / "encoder.safetensors")
            embedded = system_of(plan.variant).embed(task_of(plan, banks, progress), weights)
            write_embeddings(part, embedded)
            section |= {name: identity[name] for name in ("fingerprint", "labels")}
    return read_embeddings(record.place_of(plan))


def score(plan: Plan) -> pd.DataFrame:
    """SCORE: embeddings become ``scores.csv``, h and p are chosen, and a threshold for each product
    ID goes to ``thresholds.json``; no network, no training."""
    if not record.has_stage(record.place_of(plan), "train"):
        _take(plan, "train", plan.training)
    trained = record.section_of(plan, "train")
    after = {"after": record.hash_of(trained["identity"])}
    if not record.has_stage(record.place_of(plan), "embed", after):
        _take(plan, "embed", after)
    identity = record.identity_of(plan, "score")
    if not record.is_done(plan, "score", identity):
        # one thread: sums over several would not end with the same bits everywhere
        with threadpool_limits(1), _stage(plan, "score", identity) as (part, section):
            embedded = read_embeddings(record.place_of(plan))
            fit, test = embedded.fitted_on(plan.profile.inlier_part), embedded.of_parts("test")
            settings = trained["products"], plan.profile, plan.seed
            check_fit(fit, trained["products"], plan.profile)
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
    return read_scores(record.place_of(plan))


def evaluate(plan: Plan) -> Run:
    """EVALUATE: scores, thresholds and labels become ``metrics.csv``, and what a user must know
    ``card.md``; the run is finished."""
    identity = record.identity_of(plan, "evaluate")
    if not record.is_done(plan, "evaluate", identity):
        with _stage(plan, "evaluate", identity) as (part, _):
            place = record.place_of(plan)
            scores, thresholds = read_scores(place), read_thresholds(place)
            decisions = detection(scores, {n: one["gamma"] for n, one in thresholds.items()})
            table = metrics_by_product(scores, record.section_of(plan, "score")["choice"])
            table = table.merge(decisions.assign(chosen=True), "left", ["product", "chosen"])
            table.to_csv(part / "metrics.csv", index=False)
            (part / "card.md").write_text(card(record.read_record(place), table), encoding="utf-8")
    return Run(plan.folder)


def _take(plan: Plan, stage: str, identity: dict) -> bool:
    """Copy a stage from another run of the same identity, if there is one."""
    for folder in sorted(path.parent for path in plan.folder.parent.glob("*/params.json")):
        if folder not in (plan.folder, plan.draft) and record.has_stage(folder, stage, identity):
            with suppress(FileNotFoundError):  # another process has just put it elsewhere
                with _leaving(plan, stage) as (part, section):
                    section |= record.read_record(folder).get(stage, {})
                    _copy(folder, part, stage)
                return True
    return False


def _copy(folder: Path, part: Path, *stages: str) -> None:
    """Copy the files of some stages."""
    for name in sum((record.FILES[stage] for stage in stages), ()):
        copy = shutil.copytree if (folder / name).is_dir() else shutil.copyfile
        copy(folder / name, part / name)


@contextmanager
def _stage(plan: Plan, stage: str, identity: dict):
    """:func:`_leaving` for a stage that is computed: records its identity, warnings and times.

    UserWarnings are printed as well.
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

    With those of the stages before they become the draft of the run, or its folder when this is
    the last stage; ``section`` is recorded.
    """
    is_last, section = stage == record.STAGES[-1], {}
    folder = plan.folder if is_last else plan.draft
    with paths.whole_folder(folder) as part, paths.making(plan.folder):
        yield part, section
        place, earlier = record.place_of(plan), record.STAGES[: record.STAGES.index(stage)]
        whole = plan.record | {name: record.section_of(plan, name) for name in earlier}
        _copy(place, part, *earlier)
        section["sizes"] = record.sizes_of(part, stage)
        (part / "params.json").write_text(json.dumps(whole | {stage: section}, indent=1))
    if is_last:
        shutil.rmtree(plan.draft, ignore_errors=True)
