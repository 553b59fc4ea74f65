"""A plan: all that makes a run another one, and with it the name of the run's folder."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, model_validator

from asdlib.errors import InputError, one_of
from asdlib.profiles import PROFILES, Profile
from asdlib.settings import Settings
from asdstudy import paths
from asdstudy.data.inputs import name_of, seed_of
from asdstudy.data.settings import Seed
from asdstudy.systems import VARIANTS, make_profile

# What only scoring uses of the profile: runs that differ in nothing else share their training.
SCORING = (
    *("inlier", "inliers", "inlier_size", "inlier_sizes", "inlier_part"),
    *("covariance", "covariance_floor", "aggregation"),
)
MachineType = Annotated[str, AfterValidator(partial(name_of, "machine type"))]
Variant = Annotated[str, AfterValidator(partial(name_of, "variant"))]


class Which(Settings):
    """Which runs: of a corpus, by machine types, variants, seeds and fields of the profile."""

    corpus: Annotated[str, AfterValidator(partial(name_of, "corpus"))] = "simulated"
    profile: str = ""
    machine_types: tuple[MachineType, ...] = ()
    variants: tuple[Variant, ...] = ()
    seeds: tuple[Seed, ...] = ()
    overrides: dict[MachineType, dict[str, Any]] = {}  # fields of the profile by machine type

    @model_validator(mode="after")
    def _named(self) -> "Which":
        if self.profile:
            one_of("profile", self.profile, PROFILES)
        return self


@dataclass(frozen=True)
class Plan:
    """A run that is to be, or is: of a corpus, machine type, variant, profile and seed.

    ``overrides`` are fields of the profile by name; ``out_dir`` is the root of the run folders.
    Raises :class:`InputError` for an unknown profile, variant, field or value.
    """

    corpus: str
    machine_type: str
    variant: str = "proposed"
    profile_name: str = "quick"
    seed: int = 0
    overrides: Mapping = field(default_factory=dict)
    out_dir: Path | str | None = None

    def __post_init__(self):
        for kind in ("corpus", "machine_type", "variant", "profile_name"):
            name = name_of(kind.replace("_", " "), getattr(self, kind))
            object.__setattr__(self, kind, name)
        object.__setattr__(self, "seed", seed_of(self.seed))
        if not isinstance(self.overrides, Mapping):
            raise InputError(f"overrides are {self.overrides!r}; expected fields of the profile")
        for name in self.overrides:
            one_of("profile field", name, Profile.model_fields)
        self.profile  # noqa: B018 (raises where a value is wrong)

    @cached_property
    def profile(self) -> Profile:
        """The profile with the variant's changes and the overrides."""
        return make_profile(self.profile_name, self.machine_type, self.variant, **self.overrides)

    @property
    def folder(self) -> Path:
        """``<out_dir>/<corpus>/<machine type>/<variant>-s<seed>-<hash of the profile>``."""
        fields = json.dumps(self.profile.to_dict(), sort_keys=True)
        mark = hashlib.sha256(fields.encode()).hexdigest()[:8]
        root = paths.chosen(self.out_dir, paths.runs_dir())
        return root / self.corpus / self.machine_type / f"{self.variant}-s{self.seed}-{mark}"

    @property
    def draft(self) -> Path:
        """Where the run is made until it is whole: hidden beside its folder."""
        return self.folder.with_name(f".{self.folder.name}.unfinished")

    def code(self, stage: str) -> tuple[str, ...]:
        """The modules that a stage computes with."""
        if stage in ("train", "embed"):
            return (f"asdstudy.systems.{VARIANTS[self.variant].system}",)
        if stage == "score":
            return ("asdlib.scoring", "asdstudy.systems.centroid", "asdstudy.runs.thresholds")
        return ("asdlib.metrics", "asdstudy.runs.evaluation")

    @property
    def record(self) -> dict:
        """The plan as plain values: what a run's ``params.json`` begins with.

        It has only the overrides that change something, in the order of the profile: the same run
        has the same record.
        """
        fields = self.profile.to_dict()
        usual = make_profile(self.profile_name, self.machine_type, self.variant).to_dict()
        return {
            "corpus": self.corpus,
            "machine_type": self.machine_type,
            "variant": self.variant,
            "profile_name": self.profile_name,
            "seed": self.seed,
            "overrides": {n: v for n, v in fields.items() if v != usual.get(n)},
            "profile": fields,
        }

    @property
    def training(self) -> dict:
        """What in the plan makes the training another one: not the name of its variant, nor h.

        The SHA-256 of the file that ``weights`` names is among it while the file is there: what is
        trained, or begun, does not need it any more.
        """
        weights, name = {}, self.profile.weights
        if name:
            from asdstudy.systems.weights import weights_file  # brings torch

            with suppress(OSError, InputError), weights_file(name).open("rb") as file:
                weights["weights"] = hashlib.file_digest(file, "sha256").hexdigest()
        return weights | {
            "corpus": self.corpus,
            "machine_type": self.machine_type,
            "system": VARIANTS[self.variant].system,
            "seed": self.seed,
            "profile": {n: v for n, v in self.profile.to_dict().items() if n not in SCORING},
        }

    @property
    def scoring(self) -> dict:
        """The fields of the profile that only scoring uses."""
        return {n: v for n, v in self.profile.to_dict().items() if n in SCORING}

    @property
    def words(self) -> list[str]:
        """What names the run to a command such as ``asd run``."""
        words = [self.corpus, self.machine_type, "--variant", self.variant]
        words += ["--profile", self.profile_name, "--seed", str(self.seed)]
        for name, value in self.record["overrides"].items():
            words += ["--set", f"{name}={json.dumps(value)}"]
        return words


def yaml_value(name: str, words):
    """What the ``words`` for a field or key mean in YAML, or those of a list."""
    if isinstance(words, list):
        return [yaml_value(name, word) for word in words]
    try:
        return yaml.safe_load(words) if words and isinstance(words, str) else words
    except (yaml.YAMLError, ValueError, RecursionError):  # the second of what looks like a date
        raise InputError(f"{name}={words}: expected a value as in YAML") from None


def overrides_in(namespace: dict, parameters: tuple[str, ...]) -> dict:
    """Fields of the profile among the names of a notebook that has run its parameters cell only.

    ``parameters`` are the notebook's own. A name that is neither raises :class:`InputError`, so
    that a misspelt parameter cannot be ignored in silence.
    """
    fields = list(Profile.model_fields)
    plain = (bool, int, float, str, list, tuple, dict, type(None))  # not what IPython put there
    for name, value in namespace.items():
        if not name.startswith("_") and name not in ("In", "Out") and isinstance(value, plain):
            one_of("parameter", name, [*parameters, *fields])
    return {name: namespace[name] for name in fields if name in namespace}
