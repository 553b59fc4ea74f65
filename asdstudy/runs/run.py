"""Read a run's folder, which holds what all later pages need, and find the runs that there are."""

import shlex
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

import pandas as pd

from asdlib import metrics
from asdlib.errors import InputError
from asdlib.profiles import TABLE_I, Profile
from asdstudy import paths
from asdstudy.data.inputs import read_json
from asdstudy.runs.evaluation import NUMBERS
from asdstudy.runs.plan import Plan, Which
from asdstudy.runs.record import STAGES, is_finished, read_record
from asdstudy.systems import VARIANTS


class Run:
    """A finished run, as its folder was when it was read.

    ``params``: the plan, and what all stages together record: corpus fingerprint, choice of h and
    p, warnings, times, versions, commit; ``history``: one row per epoch; ``scores``: one row per
    test clip, its score by the chosen h and p and a column for each candidate; ``candidates``: one
    row per product ID and candidate with role, AUC, pAUC, AUC by domain where both are tested,
    inlier (h), size (p), best and chosen, where chosen also threshold, precision, recall and F1,
    none where there are no labels; ``metrics``: the rows of these with the best p of each h.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        record = self._record()
        try:
            self.params = _merged(record)
            self.profile = Profile(**self.params["profile"])
            self.history = pd.read_csv(self.folder / "history.csv")
            self.scores = read_scores(self.folder)
            self.candidates = pd.read_csv(
                self.folder / "metrics.csv",
                dtype={"product": str, "inlier": str, "best": bool, "chosen": bool},
                keep_default_na=False,  # "none" is an inlier model
                na_values=dict.fromkeys(NUMBERS, ""),
            )
            best = self.candidates[self.candidates["best"]]
            self.metrics = best.drop(columns="best").reset_index(drop=True)
        except (OSError, ValueError, KeyError, TypeError) as error:  # pandas' are ValueErrors
            raise InputError(
                f"{self.folder}: a broken run ({error}); expected a complete one: repeat "
                "the command that made it"
            ) from error

    def _record(self) -> dict:
        record = read_record(self.folder)
        if not is_finished(record):
            stages = ", ".join(name for name in STAGES if name in record) or "none"
            raise InputError(
                f"{self.folder}: finished stages: {stages}; expected the folder of a finished run"
            )
        return record

    def _check_same(self) -> None:
        """Raise :class:`InputError` if the run has changed since it was read."""
        if _merged(self._record()) != self.params:
            raise InputError(f"{self.folder}: changed since it was read; expected the same run")

    def result(self, inlier: str | None = None, role: str | None = None) -> float:
        """Harmonic mean of AUC and pAUC over product IDs, 0 to 1, as a column of Table II.

        ``inlier``: the chosen one unless named; ``role``: "validation", "test", or all IDs.
        """
        table = self.metrics
        table = table[table.chosen] if inlier is None else table[table.inlier == inlier]
        table = table if role is None else table[table.role == role]
        return metrics.harmonic_mean(table[["AUC", "pAUC"]])

    def seconds(self, clock: str) -> float | None:
        """``wall_seconds`` or ``cpu_seconds``; None for a resumed run, which is timed in part."""
        return None if self.params.get("resumed") else self.params.get(clock)

    @cached_property
    def embedded(self) -> dict:
        """What h was fitted on ("fit"), the "test" clips and clips of "others": see Embedded."""
        from asdstudy.runs.embeddings import read_embeddings  # brings torch

        self._check_same()
        embedded = read_embeddings(self.folder)
        embedded.clips["file"] = [path.name for path in embedded.clips.path]
        fit = embedded.fitted_on(self.profile.inlier_part)
        return {"fit": fit} | {name: embedded.of_parts(name) for name in ("test", "others")}

    def encoder(self):
        """The trained encoder, in evaluation mode on the CPU; only a serial system has just one."""
        from safetensors.torch import load_file

        from asdstudy.systems.serial import load_encoder

        if VARIANTS[self.params["variant"]].system != "serial":
            raise InputError(
                f"{self.folder}: variant {self.params['variant']} has no encoder of its own alone"
            )
        self._check_same()
        weights = load_file(self.folder / "encoder.safetensors")
        return load_encoder(weights, self.profile, len(self.params["products"]), "cpu")


def _merged(record: dict) -> dict:
    """What a record of a run and its stages says in one, see :class:`Run`."""
    params = {name: value for name, value in record.items() if name not in STAGES}
    sections = [record[stage] for stage in STAGES]
    for section in reversed(sections):  # device, versions and commit are those of the training
        params |= {n: v for n, v in section.items() if n not in ("identity", "sizes")}
    for clock in ("wall_seconds", "cpu_seconds"):
        params[clock] = round(sum(section[clock] for section in sections), 1)
    params["warnings"] = [warning for section in sections for warning in section["warnings"]]
    return params | {"finished": sections[-1]["finished"]}


def read_scores(folder: Path) -> pd.DataFrame:
    """``scores.csv`` of a run folder, each number to the bit."""
    return pd.read_csv(
        folder / "scores.csv", dtype={"product": str}, keep_default_na=False,
        na_values={"score": ""},
    )  # fmt: skip


def read_thresholds(folder: Path) -> dict[str, dict]:
    """What :func:`.thresholds.calibrated` says of each product ID."""
    return read_json(folder / "thresholds.json")["products"]


def find_runs(
    corpus: str,
    machine_types: Sequence[str] = (),
    variants: Sequence[str] = (),
    seeds: Sequence[int] = (),
    out_dir=None,
    profile: str = "",
    overrides: Mapping[str, Mapping] | None = None,
) -> list[Run]:
    """Finished runs of a corpus and profile; those that are named must be there, else all that are.

    ``overrides``, by machine type as in `study.yaml`, name the runs, too: one with other fields of
    the profile changed, or of other defaults than today's, is another run and not among them.
    Where no ``profile`` is named there must be runs of one only. Raises :class:`InputError` with
    the command that makes what is missing.
    """
    which = Which(
        corpus=corpus, profile=profile, machine_types=machine_types, variants=variants,
        seeds=seeds, overrides=overrides or {},
    )  # fmt: skip
    machine_types, variants, seeds = which.machine_types, which.variants, which.seeds
    root = paths.chosen(out_dir, paths.runs_dir()) / which.corpus

    def plan_of(machine_type: str, variant: str, seed: int, name: str) -> Plan:
        changes = which.overrides.get(machine_type, {})
        return Plan(corpus, machine_type, variant, name, seed, changes, out_dir)

    present = []
    for path in root.glob("*/*/params.json"):
        record = read_record(path.parent)
        if not record:
            warnings.warn(f"{path}: broken; the run is left out: repeat it", stacklevel=2)
        with suppress(InputError):  # a run of fields or variants that are no more
            keys = ("machine_type", "variant", "seed", "profile_name")
            plan = plan_of(*(record.get(key) for key in keys))
            is_same = plan.folder == path.parent and profile in ("", plan.profile_name)
            present += [plan] * (is_same and is_finished(record))
    if len(names := sorted({plan.profile_name for plan in present})) > 1:
        raise InputError(
            f"{root}: runs of the profiles {', '.join(names)}; expected one to be named"
        )
    name = names[0] if names else profile or "quick"
    runs, types = [], {plan.machine_type for plan in present}
    for machine_type in machine_types or sorted(types, key=[*TABLE_I, *sorted(types)].index):
        here = {(p.variant, p.seed): p.folder for p in present if p.machine_type == machine_type}
        if not here:
            plan = plan_of(machine_type, [*variants, "proposed"][0], [*seeds, 0][0], name)
            raise _missing(root / machine_type, plan)
        for variant in variants or sorted({variant for variant, _ in here}):
            for seed in seeds or sorted({seed for _, seed in here}):
                if (variant, seed) in here:
                    runs.append(Run(here[variant, seed]))
                elif variants and seeds:
                    plan = plan_of(machine_type, variant, seed, name)
                    raise _missing(plan.folder, plan)
    if not runs:
        raise _missing(root, plan_of("NAME", "proposed", 0, name))
    return runs


def _missing(place: Path, plan: Plan) -> InputError:
    return InputError(
        f"{place}: no finished run; make all of the study with `make book`, or one with "
        f"`{shlex.join(['asd', 'run', *plan.words])}`"
    )
