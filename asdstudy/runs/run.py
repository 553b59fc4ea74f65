"""A run: one machine type, variant and seed, from the corpus to its folder of results."""

import json
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from asdlib import metrics
from asdlib.batches import split_clips
from asdlib.encoder import Encoder
from asdlib.errors import InputError
from asdlib.profiles import TABLE_I, Profile
from asdlib.scoring import Embedded, score_clips
from asdlib.waves import onto_device
from asdstudy import paths
from asdstudy.data import labels_of, open_corpus, sound_fingerprint
from asdstudy.runs.checkpoints import Checkpoints
from asdstudy.runs.plan import Plan
from asdstudy.runs.provenance import code_hash, provenance
from asdstudy.systems import build

EMBEDDED_COLUMNS = ("machine_type", "product", "label", "file")


class Run:
    """A finished run, as its folder was when it was read (all that later pages need is in there).

    ``params``: every parameter, versions, commit, fingerprint of the corpus, wall time;
    ``history``: a row an epoch; ``scores``: a row a test clip, its score by the chosen h and a
    column for each h; ``metrics``: a row a product ID and h with role, AUC, pAUC, inlier, size (p)
    and chosen, none where there are no labels.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not (self.folder / "params.json").exists():
            raise InputError(
                f"{self.folder}: no params.json; expected the folder of a finished run"
            )
        self.params = self._record()
        self.profile = Profile(**self.params["profile"])
        self.history = pd.read_csv(self.folder / "history.csv")
        self.scores = pd.read_csv(
            self.folder / "scores.csv", dtype={"product": str}, keep_default_na=False,
            na_values={"score": ""},
        )  # fmt: skip
        self.metrics = pd.read_csv(
            self.folder / "metrics.csv",
            dtype={"product": str, "inlier": str, "chosen": bool},
            keep_default_na=False,  # "none" is an inlier model
            na_values={"AUC": "", "pAUC": ""},
        )

    def _record(self) -> dict:
        return json.loads((self.folder / "params.json").read_text())

    def _file(self, name: str) -> Path:
        """A file that is read later: of the same run still, or an :class:`InputError`."""
        if self._record() != self.params:
            raise InputError(f"{self.folder}: made again since it was read; expected the same run")
        return self.folder / name

    def result(self, inlier: str | None = None, role: str | None = None) -> float:
        """Harmonic mean of AUC and pAUC over product IDs, 0 to 1, as a column of Table II.

        ``inlier``: the chosen one unless named; ``role``: "validation", "test", or all IDs.
        """
        table = self.metrics
        table = table[table.chosen] if inlier is None else table[table.inlier == inlier]
        table = table if role is None else table[table.role == role]
        return metrics.harmonic_mean(table[["AUC", "pAUC"]])

    def seconds(self, clock: str) -> float | None:
        """``wall_seconds`` or ``cpu_seconds``; None of a resumed run, which knows only the rest."""
        return None if self.params.get("resumed") else self.params.get(clock)

    @cached_property
    def embedded(self) -> dict[str, Embedded]:
        """ "fit", "test" and "others": embeddings, logits and the clips they are of."""
        with np.load(self._file("embeddings.npz")) as arrays:
            arrays = {name: arrays[name] for name in arrays.files}
        parts = {}
        for part in ("fit", "test", "others"):
            clips = pd.DataFrame({name: arrays[f"{part}_{name}"] for name in EMBEDDED_COLUMNS})
            parts[part] = Embedded(clips, arrays[f"{part}_embeddings"], arrays[f"{part}_logits"])
        return parts

    def encoder(self) -> Encoder:
        """The trained encoder, in evaluation mode on the CPU; only a serial system has just one."""
        if self.profile.approach != "serial":
            raise InputError(
                f"{self.folder}: variant {self.params['variant']} has no encoder of its own alone"
            )
        weights = load_file(self._file("encoder.safetensors"))
        # no pretrained weights are fetched for a network that gets its own
        profile = self.profile.replace(pretrained=False)
        encoder = Encoder(profile, len(self.params["products"]))
        encoder.load_state_dict(weights)
        return encoder.eval()


def execute(
    corpus: str,
    machine_type: str,
    variant: str = "proposed",
    profile: str = "quick",
    seed: int = 0,
    data_dir=None,
    out_dir=None,
    reuse: bool = False,
    progress: bool = True,
    **overrides,
) -> Run:
    """Train, score and write one run folder; ``overrides`` are fields of the profile by name.

    With ``reuse`` a finished run of the same parameters and the same sound is returned as it is.
    The folder appears when it is whole; a failed run leaves none. One that was interrupted is taken
    up by the same call from its last epoch (:mod:`asdstudy.runs.checkpoints`).
    """
    begun, worked = time.perf_counter(), time.process_time()
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()  # of this run alone
    plan = Plan(corpus, machine_type, variant, profile, seed, overrides, out_dir)
    settings, folder = plan.profile, plan.folder
    clips, banks = open_corpus(corpus, data_dir, machine_type, progress)
    asked = plan.record | {"fingerprint": sound_fingerprint(banks), "labels": labels_of(clips)}
    if reuse and (folder / "params.json").exists():
        run = Run(folder)
        if all(run.params.get(key) == value for key, value in asked.items()):
            return run
    identity = asked | {"code": code_hash(), "torch": torch.__version__, "cuda": cuda}
    checkpoints = Checkpoints(folder, identity)
    if profile == "paper" and not cuda:
        warnings.warn("no CUDA device; the paper profile is very slow without one", stacklevel=2)
    if cuda and settings.approach != "spectrum":
        drawn = None if settings.needs_others else [machine_type]
        banks = onto_device(banks, drawn)
    others = [bank for name, bank in banks.items() if name != machine_type]
    with checkpoints.kept():
        split = split_clips(banks[machine_type], others, settings, seed)
        with warnings_heard() as warned:
            built = build(split, others, settings, seed, progress, checkpoints)
            embedded = built.embedded
            scores, table, choice = score_clips(
                embedded["fit"], embedded["test"], split.products, settings, seed
            )
        record = asked | {
            "products": list(split.products),
            "choice": choice,
            "models": built.models,
            "parameters": built.parameters,
            "fitted_on": f"{settings.inlier_part} part, {len(embedded['fit'].clips)} clips",
            "warnings": sorted(warned),
            "resumed": checkpoints.resumed,  # then the times are of the rest only
            "wall_seconds": round(time.perf_counter() - begun, 1),
            "cpu_seconds": round(time.process_time() - worked, 1),  # of all threads
            **provenance(),
        }
        if cuda:
            record["peak_cuda_bytes"] = torch.cuda.max_memory_allocated()
        with paths.whole_folder(folder) as part:
            built.history.to_csv(part / "history.csv", index=False)
            scores.to_csv(part / "scores.csv", index=False)
            table.to_csv(part / "metrics.csv", index=False)
            save_file(
                {name: value.cpu().contiguous() for name, value in built.weights.items()},
                part / "encoder.safetensors",
            )
            _save_embeddings(embedded, part / "embeddings.npz")
            metrics.write_submission(scores, machine_type, part / "submission")
            (part / "params.json").write_text(json.dumps(record, indent=1))
    return Run(folder)


@contextmanager
def warnings_heard():
    """``with warnings_heard() as warned:`` UserWarnings inside are said, and in the set."""
    warned = set()

    def say(message, category, *_):
        if str(message) not in warned:
            print(f"warning: {message}", file=sys.stderr)
        warned.add(str(message))

    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = say
        yield warned


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
    root, overrides = Path(out_dir or paths.runs_dir()) / corpus, overrides or {}

    def plan_of(machine_type: str, variant: str, seed: int, name: str) -> Plan:
        changes = overrides.get(machine_type, {})
        return Plan(corpus, machine_type, variant, name, seed, changes, out_dir)

    present = []
    for path in root.glob("*/*/params.json"):
        record = json.loads(path.read_text())
        with suppress(InputError):  # a run of fields or variants that are no more
            keys = ("machine_type", "variant", "seed", "profile_name")
            plan = plan_of(*(record[key] for key in keys))
            if plan.folder == path.parent and profile in ("", plan.profile_name):
                present.append(plan)
    if len(names := sorted({plan.profile_name for plan in present})) > 1:
        raise InputError(
            f"{root}: runs of the profiles {', '.join(names)}; expected one to be named"
        )
    name = names[0] if names else profile or "quick"
    order = [*TABLE_I, *sorted({plan.machine_type for plan in present} - {*TABLE_I})]
    runs = []
    for machine_type in machine_types or order:
        here = [plan for plan in present if plan.machine_type == machine_type]
        if machine_types and not here:
            plan = plan_of(machine_type, *(variants or ["proposed"])[:1], *(seeds or [0])[:1], name)
            raise _missing(root / machine_type, plan)
        for variant in variants or sorted({plan.variant for plan in here}):
            for seed in seeds or sorted({plan.seed for plan in here}):
                plan = plan_of(machine_type, variant, seed, name)
                if any(plan.folder == other.folder for other in here):
                    runs.append(Run(plan.folder))
                elif variants and seeds and (machine_types or here):
                    raise _missing(plan.folder, plan)
    if not runs:
        raise _missing(root, plan_of("NAME", "proposed", 0, name))
    return runs


def _missing(place: Path, plan: Plan) -> InputError:
    return InputError(
        f"{place}: no finished run; make all of the study with `make book`, or one with "
        f"`{plan.command}`"
    )


def _save_embeddings(embedded: dict[str, Embedded], path: Path) -> None:
    arrays = {}
    for name, part in embedded.items():
        arrays[f"{name}_embeddings"] = part.embeddings.astype(np.float32)
        arrays[f"{name}_logits"] = part.logits.astype(np.float32)
        clips = part.clips.assign(file=[path.name for path in part.clips.path])
        for column in EMBEDDED_COLUMNS:
            arrays[f"{name}_{column}"] = clips[column].to_numpy().astype(str)
    np.savez_compressed(path, **arrays)
