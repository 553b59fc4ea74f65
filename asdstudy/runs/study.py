"""The study as validated data: what `study.yaml` may say, checked before anything runs."""

import hashlib
import os
import shlex
from dataclasses import dataclass, field, fields
from pathlib import Path

import yaml

from asdlib.errors import InputError, one_of
from asdlib.profiles import PROFILES, VARIANTS, make_profile


@dataclass(frozen=True)
class Study:
    """Which runs a study has; the fields are the keys of `study.yaml`."""

    corpus: str = "simulated"
    data_dir: str = ""
    profile: str = "quick"
    machine_types: list = field(default_factory=list)
    variants: list = field(default_factory=lambda: ["proposed"])
    seeds: list = field(default_factory=lambda: [0])
    overrides: dict = field(default_factory=dict)
    simulation: dict = field(default_factory=dict)

    def __post_init__(self):
        for item in fields(self):
            kind = item.type
            if not isinstance(getattr(self, item.name), kind):
                raise InputError(
                    f"study: {item.name} is {getattr(self, item.name)!r}; expected {kind.__name__}"
                )
        one_of("profile in the study", self.profile, PROFILES)
        for name in ("machine_types", "variants", "seeds"):
            if not getattr(self, name):
                raise InputError(f"study: {name} is empty; expected at least one")
        for seed in self.seeds:
            if type(seed) is not int:
                raise InputError(f"study: seed {seed!r}; expected a whole number")
        for variant in self.variants:
            one_of("variant in the study", variant, VARIANTS)
        if "proposed" not in self.variants:
            raise InputError(
                f"study: variants {self.variants}; expected proposed among them, which the pages "
                "compare the others with"
            )
        for machine_type, given in self.overrides.items():
            one_of("machine type under overrides", machine_type, self.machine_types)
            make_profile(self.profile, machine_type, **given)  # raises where a field is wrong
        if self.simulation and (self.corpus != "simulated" or not self.data_dir):
            raise InputError(
                "study: simulation settings need `corpus: simulated` and a data_dir of their own"
            )

    @property
    def folder(self) -> str:
        """Where the corpus lies, relative to the folder of the study."""
        return self.data_dir or f"data/{self.corpus}"

    def simulator_options(self) -> str:
        """The settings of the simulator as options of its command line."""
        words = []
        for name, value in sorted(self.simulation.items()):
            values = value if isinstance(value, list) else [value]
            words += [f"--{name.replace('_', '-')}", ",".join(map(str, values))]
        return shlex.join(words)

    def listing(self) -> str:
        """A hash of names and sizes in a corpus that was not made here: other files, another run.

        The simulated corpus is known by its settings alone.
        """
        if self.corpus == "simulated":
            return ""
        folder = Path(self.folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; expected the corpus {self.corpus}")
        digest = hashlib.sha256()
        for path in sorted(_files(folder)):
            digest.update(f"{path.relative_to(folder)} {path.stat().st_size}\n".encode())
        return digest.hexdigest()[:16]


def _files(folder: Path):
    """All files below, those of linked machine types included and hidden ones left out."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(parent) / name for name in names if not name.startswith("."))


def read_study(path, changes: dict) -> Study:
    """The study in a YAML file, with ``changes`` to its keys from the command line.

    Snakemake hands those over with every number as a string, so they are read as YAML again.
    """
    changes = {key: _as_yaml(value) for key, value in changes.items()}
    found = (yaml.safe_load(Path(path).read_text()) or {}) | changes
    for key in found:
        one_of(f"key in {Path(path).name}", key, [item.name for item in fields(Study)])
    return Study(**found)


def _as_yaml(value):
    if isinstance(value, list):
        return [_as_yaml(item) for item in value]
    return yaml.safe_load(value) if isinstance(value, str) else value
