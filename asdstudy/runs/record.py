"""The record of a run: which stages are whole, what each was done with, and where they are.

A run folder is whole or does not exist. Until its last stage is done the run is a draft, hidden
beside the folder, and an earlier run in that folder stays as it is. ``params.json`` in either has
the plan, and a section for each stage.
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
    """``params.json`` of a run; nothing where it is missing or broken: no run then."""
    try:
        record = json.loads((folder / "params.json").read_text(encoding="utf-8"))
        for stage in STAGES:
            dict(record.get(stage, {"identity": {}})["identity"])
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return record


def has_stage(folder: Path, stage: str, identity: dict | None = None) -> bool:
    """Whether a stage is whole in ``folder``, and of that ``identity`` where one is named."""
    section = read_record(folder).get(stage)
    return (
        section is not None
        and (identity or {}).items() <= section["identity"].items()
        and sizes_of(folder, stage).items() >= section.get("sizes", {}).items()
        and all(sizes_of(folder, stage).values())
    )


def sizes_of(folder: Path, stage: str) -> dict[str, int]:
    """The bytes of each file of a stage: 0 where it is missing, 1 for a folder."""
    paths = [folder / name for name in FILES[stage]]
    return {p.name: int(p.is_dir()) or p.exists() and p.stat().st_size for p in paths}


def section_of(plan: Plan, stage: str) -> dict:
    """What the record says of a stage, or an :class:`InputError` where it is not done."""
    if not has_stage(place_of(plan), stage):
        raise InputError(f"{plan.folder}: not done yet: {stage}; expected it before what follows")
    return read_record(place_of(plan))[stage]


def identity_of(plan: Plan, stage: str, banks: dict | None = None) -> dict:
    """The inputs, parameters and code of a stage after training; only embed needs ``banks``."""
    before = section_of(plan, STAGES[STAGES.index(stage) - 1])["identity"]
    identity = {"after": hash_of(before), "code": code_hash(*plan.code(stage))}
    if stage == "embed":
        labels = labels_of(pd.concat([bank.clips for bank in banks.values()]))
        return identity | {"labels": labels, "fingerprint": sound_fingerprint(banks)}
    return identity | (plan.scoring if stage == "score" else {})


def hash_of(identity: dict) -> str:
    """A short hash of a stage's identity, for that of the next stage."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def is_done(plan: Plan, stage: str, identity: dict) -> bool:
    """Whether a stage is done with that identity, in the draft or the folder of the run.

    Where only the folder has it, the draft comes from other code or sound and is removed.
    """
    if has_stage(plan.draft, stage, identity):
        return True
    before = STAGES[: STAGES.index(stage)]
    if has_stage(plan.folder, stage, identity) and all(has_stage(plan.folder, b) for b in before):
        shutil.rmtree(plan.draft, ignore_errors=True)
        return True
    return False


def is_finished(record: dict) -> bool:
    """Whether a record has all stages."""
    return all(stage in record for stage in STAGES)
