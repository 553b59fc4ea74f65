"""The study as validated data: what `study.yaml` may say, checked before anything runs."""

import hashlib
import os
import shlex
from pathlib import Path
from typing import Any

import yaml
from pydantic import model_validator

from asdlib.errors import InputError, one_of
from asdlib.profiles import Several
from asdstudy import paths
from asdstudy.data.corpora import files_below
from asdstudy.data.settings import Seed, Simulation
from asdstudy.runs.plan import MachineType, Plan, Variant, Which, yaml_value


class Study(Which):
    """Which runs a study has; the fields are the keys of `study.yaml`."""

    data_dir: str = ""
    profile: str = "quick"
    machine_types: Several[MachineType]
    variants: Several[Variant] = ("proposed",)
    seeds: Several[Seed] = (0,)
    simulation: dict[str, Any] = {}

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for machine_type in self.overrides:
            one_of("machine type under overrides", machine_type, self.machine_types)
        self.plans()  # raises where a field is wrong, for one of the variants at least
        if "proposed" not in self.variants:
            raise ValueError(
                f"study: variants {', '.join(self.variants)}; expected proposed among them, which "
                "the pages compare the others with"
            )
        if self.simulation and (self.corpus != "simulated" or not self.data_dir):
            raise ValueError(
                "study: simulation settings need `corpus: simulated` and a data_dir of their own"
            )
        Simulation(**{n: v for n, v in self.simulation.items() if n != "machine_types"})
        if self.corpus == "simulated":
            from asdstudy.data.machines import MACHINE_TYPES  # brings scipy

            types = self.simulation.get("machine_types", MACHINE_TYPES)
            if not isinstance(types, list | tuple):
                raise ValueError(f"simulation.machine_types is {types!r}; expected a list")
            for name in types:
                one_of("simulated machine type", name, MACHINE_TYPES)
            for name in self.machine_types:
                one_of("machine type of the simulated corpus", name, types)
        return self

    @property
    def folder(self) -> str:
        """Where the corpus lies, relative to the folder of the study."""
        return str(paths.chosen(self.data_dir, paths.spelled(Path("data", self.corpus))))

    def plans(self, machine_types=None, variants=None, seeds=None) -> list[Plan]:
        """The runs of the study, or some of them; below ``runs``."""
        return [
            Plan(
                *(self.corpus, machine_type, variant, self.profile, seed),
                self.overrides.get(machine_type, {}),
                "runs",
            )
            for machine_type in machine_types or self.machine_types
            for variant in variants or self.variants
            for seed in seeds or self.seeds
        ]

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
        for path in files_below(folder):
            size = path.stat().st_size if path.exists() else 0  # a link to nothing has none
            digest.update(os.fsencode(path.relative_to(folder)) + f" {size}\n".encode())
        return digest.hexdigest()[:16]


class OnceLoader(yaml.SafeLoader):
    """YAML in which a key may occur only once: otherwise the last one would win in silence."""

    def construct_mapping(self, node, deep=False):
        names = [key.value for key, _ in node.value]
        for number, (key, _) in enumerate(node.value):
            if key.value in names[:number]:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value} a second time", problem_mark=key.start_mark
                )
        return super().construct_mapping(node, deep)


def read_study(path, changes: dict) -> Study:
    """The study in a YAML file, with ``changes`` to its keys from the command line.

    Snakemake hands those over with every number as a string, so they are read as YAML again.
    """
    try:
        study = yaml.load(Path(path).read_text(encoding="utf-8"), OnceLoader) or {}
    except yaml.MarkedYAMLError as error:
        where = error.problem_mark.line + 1
        raise InputError(f"{path}: line {where}: {error.problem}; expected a study") from None
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:  # no UTF-8, no date
        why = " ".join((getattr(error, "strerror", None) or str(error)).split())
        raise InputError(f"{path}: {why}; expected a study as in study.yaml") from None
    if not isinstance(study, dict) or not all(isinstance(key, str) for key in study):
        raise InputError(
            f"{path}: expected keys with values, one per line, as in `corpus: simulated`"
        )
    return Study(**(study | {key: yaml_value(key, value) for key, value in changes.items()}))
