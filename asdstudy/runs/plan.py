"""A plan: all that makes a run another one, and with it the name of the run's folder."""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from asdlib.profiles import Profile, make_profile
from asdstudy import paths


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
        self.profile  # noqa: B018 (what is wrong is said now)

    @cached_property
    def profile(self) -> Profile:
        """The profile with the variant's changes and the overrides."""
        return make_profile(self.profile_name, self.machine_type, self.variant, **self.overrides)

    @property
    def folder(self) -> Path:
        """``<out_dir>/<corpus>/<machine type>/<variant>-s<seed>-<hash of the profile>``."""
        fields = json.dumps(self.profile.to_dict(), sort_keys=True)
        mark = hashlib.sha256(fields.encode()).hexdigest()[:8]
        root = Path(self.out_dir or paths.runs_dir())
        return root / self.corpus / self.machine_type / f"{self.variant}-s{self.seed}-{mark}"

    @property
    def record(self) -> dict:
        """The plan as plain values: what a run's ``params.json`` begins with.

        Of the overrides those that change something: the same run has the same record.
        """
        fields = self.profile.to_dict()
        usual = make_profile(self.profile_name, self.machine_type, self.variant).to_dict()
        return {
            "corpus": self.corpus,
            "machine_type": self.machine_type,
            "variant": self.variant,
            "profile_name": self.profile_name,
            "seed": self.seed,
            "overrides": {n: fields[n] for n in self.overrides if fields[n] != usual[n]},
            "profile": fields,
        }

    @property
    def command(self) -> str:
        """The command that makes the run."""
        values = {
            "corpus": self.corpus,
            "machine_type": self.machine_type,
            "variant": self.variant,
            "profile": self.profile_name,
            "seed": self.seed,
            **self.overrides,
        }
        words = ["papermill", "notebooks/train.ipynb", "out.ipynb"]
        for name, value in values.items():
            words += ["-p", name, str(value)]
        return shlex.join(words)
