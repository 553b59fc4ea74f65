"""The record of a run: which stages are whole, what each was done with, and where they lie.

A run folder is whole or not there. Until its last stage is done the run is a draft, hidden beside
the folder, and an earlier run in that folder stays as it is. ``params.json`` in either begins with
the plan and has a section for each stage.
"""

import json
from pathlib import Path

from asdstudy.runs.plan import Plan

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


def is_finished(record: dict) -> bool:
    """Whether a record has all stages."""
    return all(stage in record for stage in STAGES)
