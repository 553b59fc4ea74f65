"""A run: one machine type, variant and seed, from the corpus to its folder of results."""

import hashlib
import json
import time
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from asdlib import metrics
from asdstudy import paths
from asdlib.batches import split_clips
from asdstudy.runs.checkpoints import Checkpoints
from asdlib.encoder import Encoder
from asdlib.errors import InputError, one_of
from asdlib.profiles import Profile, make_profile
from asdstudy.runs.provenance import code_hash, provenance
from asdlib.scoring import Embedded, score_clips
from asdstudy.systems import build
from asdlib.waves import onto_device
from asdstudy.data import labels_of, open_corpus, sound_fingerprint

EMBEDDED_COLUMNS = ("machine_type", "product", "label", "file")


@dataclass(frozen=True)
class Run:
    """A finished run, read from its folder (all that later pages need is in there)."""

    folder: Path

    def __post_init__(self):
        object.__setattr__(self, "folder", Path(self.folder))
        if not (self.folder / "params.json").exists():
            raise InputError(
                f"{self.folder}: no params.json; expected the folder of a finished run"
            )

    @cached_property
    def params(self) -> dict:
        """Every parameter, the versions, the commit, the corpus fingerprint, the wall time."""
        return json.loads((self.folder / "params.json").read_text())

    @cached_property
    def profile(self) -> Profile:
        """The profile the run was made with."""
        return Profile(**self.params["profile"])

    @cached_property
    def history(self) -> pd.DataFrame:
        """A row an epoch."""
        return pd.read_csv(self.folder / "history.csv")

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row a test clip: score by the chosen h, and a column for each h."""
        return pd.read_csv(
            self.folder / "scores.csv", dtype={"product": str}, keep_default_na=False,
            na_values={"score": ""},
        )  # fmt: skip

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row a product ID and h: role, AUC, pAUC, inlier, size (p), chosen; none unlabelled."""
        return pd.read_csv(
            self.folder / "metrics.csv",
            dtype={"product": str, "inlier": str, "chosen": bool},
            keep_default_na=False,  # "none" is an inlier model
            na_values={"AUC": "", "pAUC": ""},
        )

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
        with np.load(self.folder / "embeddings.npz") as arrays:
            arrays = {name: arrays[name] for name in arrays.files}
        found = {}
        for part in ("fit", "test", "others"):
            clips = pd.DataFrame({name: arrays[f"{part}_{name}"] for name in EMBEDDED_COLUMNS})
            found[part] = Embedded(clips, arrays[f"{part}_embeddings"], arrays[f"{part}_logits"])
        return found

    def encoder(self) -> Encoder:
        """The trained encoder, in evaluation mode on the CPU; only a serial system has just one."""
        if self.profile.approach != "serial":
            raise InputError(
                f"{self.folder}: variant {self.params['variant']} has no encoder of its own alone"
            )
        weights = load_file(self.folder / "encoder.safetensors")
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
    settings = make_profile(profile, machine_type, variant, **overrides)
    clips, banks = open_corpus(corpus, data_dir, machine_type, progress)
    asked = {
        "corpus": corpus,
        "machine_type": machine_type,
        "variant": variant,
        "profile_name": profile,
        "seed": seed,
        "overrides": json.loads(json.dumps(overrides)),
        "profile": settings.to_dict(),
        "fingerprint": sound_fingerprint(banks),
        "labels": labels_of(clips),
    }
    folder = paths.run_dir(out_dir, corpus, machine_type, variant, seed)
    if reuse and (folder / "params.json").exists():
        run = Run(folder)
        if all(run.params.get(key) == value for key, value in asked.items()):
            return run
    identity = asked | {"code": code_hash(), "torch": torch.__version__, "cuda": cuda}
    checkpoints = Checkpoints(folder, identity)
    resumed = bool(checkpoints.there())
    if profile == "paper" and not cuda:
        warnings.warn("no CUDA device; the paper profile is very slow without one", stacklevel=2)
    if cuda and settings.approach != "spectrum":
        drawn = None if settings.needs_others else [machine_type]
        banks = onto_device(banks, drawn)
    others = [bank for name, bank in banks.items() if name != machine_type]
    with checkpoints.kept():
        split = split_clips(banks[machine_type], others, settings, seed)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
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
            "warnings": sorted({str(w.message) for w in caught if w.category is UserWarning}),
            "resumed": resumed,  # then the times are of the rest only
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


def _save_embeddings(embedded: dict[str, Embedded], path: Path) -> None:
    arrays = {}
    for name, part in embedded.items():
        arrays[f"{name}_embeddings"] = part.embeddings.astype(np.float32)
        arrays[f"{name}_logits"] = part.logits.astype(np.float32)
        clips = part.clips.assign(file=[path.name for path in part.clips.path])
        for column in EMBEDDED_COLUMNS:
            arrays[f"{name}_{column}"] = clips[column].to_numpy().astype(str)
    np.savez_compressed(path, **arrays)
