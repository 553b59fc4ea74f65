"""The record of a run: which stages are whole, what each was done with, and where they lie.

A run folder is whole or not there. Until its last stage is done the run is a draft, hidden beside
the folder, and an earlier run in that folder stays as it is. ``params.json`` in either begins with
the plan and has a section for each stage.
"""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd

from asdlib.errors import InputError
from asdstudy.data import labels_of, sound_fingerprint
from asdstudy.runs.plan import Plan
from asdstudy.runs.provenance import code_hash

FILES = {  # of each stage, in the order of the stages
    "train": ("encoder.safetensors", "history.csv"),
    "embed": ("embeddings.npz",),
    "score": ("scores.csv", "submission"),
    "evaluate": ("metrics.csv",),
}
STAGES = tuple(FILES)


def place_of(plan: Plan) -> Path:
    """Where the stages of a run lie: in its draft, if it has one, or in its folder."""
    return plan.draft if read_record(plan.draft) else plan.folder


def read_record(folder: Path) -> dict:
    """``params.json`` of a run; nothing where it is missing or broken: there is no run then."""
    try:
        record = json.loads((folder / "params.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def has_stage(folder: Path, stage: str, identity: dict | None = None) -> bool:
    """Whether a stage is whole in ``folder``, and was done with ``identity`` as far as that says.

    No file of a stage is ever empty, so an empty one is broken.
    """
    section = read_record(folder).get(stage)
    return (
        section is not None
        and (identity or {}).items() <= section["identity"].items()
        and all(
            path.is_dir() or path.is_file() and path.stat().st_size > 0
            for path in (folder / name for name in FILES[stage])
        )
    )


def section_of(plan: Plan, stage: str) -> dict:
    """What the record says of a stage, or an :class:`InputError` where it is not done."""
    if not has_stage(place_of(plan), stage):
        raise InputError(f"{plan.folder}: not done yet: {stage}; expected it before what follows")
    return read_record(place_of(plan))[stage]


def identity_of(plan: Plan, stage: str, banks: dict | None = None) -> dict:
    """What a stage after the training is done with; of ``banks`` embed alone knows."""
    before = section_of(plan, STAGES[STAGES.index(stage) - 1])["identity"]
    identity = {"after": hash_of(before), "code": code_hash(*plan.code(stage))}
    if stage == "embed":
        labels = labels_of(pd.concat([bank.clips for bank in banks.values()]))
        return identity | {"labels": labels, "fingerprint": sound_fingerprint(banks)}
    return identity | (plan.scoring if stage == "score" else {})


def hash_of(identity: dict) -> str:
    """A short hash of what a stage was done with, for the one that stands on it."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def is_done(plan: Plan, stage: str, identity: dict) -> bool:
    """Whether a stage is done with that identity, in the draft or the folder of the run.

    A draft without it was begun with other code or sound, and goes where the folder has it.
    """
    if has_stage(plan.draft, stage, identity):
        return True
    if has_stage(plan.folder, stage, identity):
        shutil.rmtree(plan.draft, ignore_errors=True)
        return True
    return False


def is_finished(record: dict) -> bool:
    """Whether a record has all stages."""
    return all(stage in record for stage in STAGES)
