"""A corpus of simulated machines in the layout of DCASE 2021, for a computer with no data at all.

Two settings vary what the paper argues about and recordings fix: how alike the product IDs of a
machine type are, and how alike the machine types are. Three more add a target domain, in which a
product ID runs at another speed and load, in louder noise, before another microphone, or with some
of these changes only. Each clip is drawn from its own seed, so it does not depend on the order, the
number of processes or the other clips.
"""

import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import fft
from tqdm import tqdm

from asdlib.errors import InputError, one_of
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data import machines
from asdstudy.data.corpora import inside
from asdstudy.data.inputs import read_json
from asdstudy.data.machines import MACHINE_TYPES, NUMBERS, TYPES, Machine, Signal
from asdstudy.data.recordings import write_clip
from asdstudy.data.settings import Simulation
from asdstudy.paths import make_folder, making, replacing

GENERATOR = 6  # raised whenever the same settings would make other sound
SETTINGS_FILE = "corpus.json"
SPLITS = ("train", "test")
LABELS = ("normal", "anomaly")
DOMAINS = ("source", "target")
OPERATING_SPEEDS = (0.9, 1.0, 1.1)  # of a product ID's own speed
DRIVEN = ("shaft_hertz", "cycle_hertz", "whine_hertz")  # what goes faster with it
LOADED = ("mesh", "friction", "impacts")  # what grows louder with the load
TARGET_SPEEDS, TARGET_LOADS = (0.75, 1.3), (0.5, 2.0)  # one of each for a product ID
TARGET_NOISE_DB = 4.0  # louder than in the source domain
LEVEL_DBFS = -30.0
LEVEL_RANGE_DB = 6.0
BANGS_PER_SECOND = 0.1


class ClipName(NamedTuple):
    """Which clip: ``split`` is "train" or "test", ``label`` "normal" or "anomaly", ``domain``
    "source" or "target"; ``product`` and ``number`` count from 0."""

    machine_type: str
    product: int
    split: str
    label: str
    number: int
    domain: str = "source"


@dataclass(frozen=True)
class Clip:
    """A simulated clip and what it is made of, which no recording shows."""

    machine: Signal  # what the microphone hears of the machine, (samples,)
    noise: Signal  # what it hears of the factory, (samples,)
    numbers: Machine  # what the machine's sound was made from
    fault: str | None

    @property
    def audio(self) -> Signal:
        """The recording, ``(samples,)``, within -1 and 1 but for rare clicks."""
        return self.machine + self.noise


def machine_type_numbers(simulation: Simulation, machine_type: str) -> NDArray[np.float64]:
    """The logarithms of a type's numbers, ``(fields,)``, drawn towards the mean machine's."""
    one_of("machine type", machine_type, TYPES)
    numbers = TYPES[machine_type].logarithms()
    mean = np.mean([machine.logarithms() for machine in TYPES.values()], axis=0)
    return numbers + simulation.machine_similarity * (mean - numbers)


def product_numbers(simulation: Simulation, machine_type: str, product: int) -> NDArray[np.float64]:
    """The logarithms of a product ID's numbers, ``(fields,)``."""
    rng = _rng(simulation, machine_type, product)
    offset = NUMBERS["product"].to_numpy() * rng.uniform(-np.sqrt(3), np.sqrt(3), len(NUMBERS))
    offset *= 1 - simulation.product_similarity
    return machine_type_numbers(simulation, machine_type) + offset


def target_conditions(
    simulation: Simulation, machine_type: str, product: int
) -> tuple[NDArray[np.float64], np.random.Generator]:
    """What the target domain adds to the logarithms of a product ID's numbers, ``(fields,)``, and
    the chances of its microphone."""
    rng = _rng(simulation, machine_type, product, DOMAINS.index("target"))
    speed, load = rng.choice(TARGET_SPEEDS), rng.choice(TARGET_LOADS)
    changes = simulation.target_changes
    factors = dict.fromkeys(DRIVEN, speed) if "speed" in changes else {}
    factors |= dict.fromkeys(LOADED, load) if "load" in changes else {}
    return Machine.direction(factors), rng


def draw_machine(
    simulation: Simulation, clip: ClipName
) -> tuple[Machine, str | None, np.random.Generator]:
    """The machine of one clip, its fault, and the chances left for its sound.

    The faults of a type take turns; a clip's fault is up to 30 % weaker or stronger than the
    ``severity`` of the corpus.
    """
    machine_type, product, split, label, number, domain = clip
    where = SPLITS.index(split), LABELS.index(label), number
    logarithms = product_numbers(simulation, machine_type, product)
    if domain == "target":
        where += (DOMAINS.index(domain),)
        logarithms += target_conditions(simulation, machine_type, product)[0]
    rng = _rng(simulation, machine_type, product, *where)
    logarithms += NUMBERS["clip"].to_numpy() * rng.standard_normal(len(NUMBERS))
    logarithms += Machine.direction(dict.fromkeys(DRIVEN, rng.choice(OPERATING_SPEEDS)))
    strength, fault = simulation.severity * rng.uniform(0.7, 1.3), None
    if label == "anomaly":
        faults = machines.FAULTS[machine_type]
        fault = list(faults)[number % len(faults)]
        logarithms += strength / machines.TABLE_SEVERITY * Machine.direction(faults[fault])
    return Machine.from_logarithms(logarithms), fault, rng


def simulate_clip(simulation: Simulation, clip: ClipName) -> Clip:
    """Make one clip. Its level is random and does not depend on the label."""
    numbers, fault, rng = draw_machine(simulation, clip)
    samples, snr_db = round(simulation.clip_seconds * SAMPLE_RATE), simulation.snr_db
    machine, noise = machines.machine_sound(numbers, samples, rng), factory_noise(samples, rng)
    decibel = LEVEL_DBFS + rng.uniform(-LEVEL_RANGE_DB, LEVEL_RANGE_DB)
    changes = simulation.target_changes if clip.domain == "target" else ()
    if "microphone" in changes:
        _, chances = target_conditions(simulation, clip.machine_type, clip.product)
        microphone = 10 ** (0.3 * machines.smooth_tilt(samples, chances))  # 6 dB up and down
        spectra = (fft.rfft(sound) * microphone for sound in (machine, noise))
        machine, noise = (machines.shaped_noise(spectrum, samples) for spectrum in spectra)
    if "noise" in changes:
        snr_db -= TARGET_NOISE_DB
    ratio = 10 ** (snr_db / 20)
    level = 10 ** (decibel / 20) / np.hypot(ratio, 1)
    return Clip(ratio * level * machine, level * noise, numbers, fault)


def factory_noise(samples: int, rng: np.random.Generator) -> Signal:
    """A hall with other machines and now and then a bang, ``(samples,)``, RMS 1; no two alike."""
    n = machines.padded(samples)
    fall = rng.uniform(0.4, 1.0) * machines.octaves(n)  # 2.4 to 6 dB an octave
    colour = np.exp2(0.7 * machines.smooth_tilt(n, rng) - fall)
    noise = machines.shaped_noise(machines.white_spectrum(n, rng) * colour, n)
    noise *= np.exp(0.25 * machines.smooth_noise(n, 1.5, rng))
    for start in rng.integers(0, n, rng.poisson(BANGS_PER_SECOND * n / SAMPLE_RATE)):
        after = np.arange(n - start) / SAMPLE_RATE
        ring = rng.uniform(1, 4) * np.exp(-after / rng.uniform(0.02, 0.1))
        noise[start:] += ring * (noise[start:] + np.sin(2 * np.pi * rng.uniform(150, 3000) * after))
    return machines.normalised(noise[n - samples :])


def make_corpus(
    root: str | Path,
    simulation: Simulation = Simulation(),
    machine_types: Sequence[str] = MACHINE_TYPES,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Write a corpus of 16-bit mono WAV files below ``root`` and return ``root``.

    A corpus that is there already is kept, an unfinished one is continued, and machine types can
    be added. A second process that makes the same corpus waits. ``workers`` are processes, by
    default one per core.
    Raises :class:`InputError` if ``root`` holds a corpus with other settings.
    """
    root = Path(root)
    for machine_type in machine_types:
        one_of("machine type", machine_type, TYPES)
    if _is_there(root, _about(root, simulation, machine_types)):
        return root
    make_folder(root)
    with making(root), FileLock(root / ".lock"):
        about = _about(root, simulation, machine_types)
        if _is_there(root, about):  # made while we waited
            return root
        _write_about(root, about | {"complete": False})
        clips = _clips(simulation, about["machine_types"])
        jobs = (delayed(_make_clip)(root, simulation, clip) for clip in clips)
        made = Parallel(workers or os.cpu_count(), return_as="generator_unordered")(jobs)
        look = {"unit": "clip", "mininterval": 1, "disable": not progress}
        for _ in tqdm(made, total=about["files"], **look):
            pass
        _write_about(root, about)
    return root


def _rng(simulation: Simulation, machine_type: str, *where: int) -> np.random.Generator:
    return np.random.default_rng([simulation.seed, MACHINE_TYPES.index(machine_type), *where])


def _clips(simulation: Simulation, machine_types: Sequence[str]) -> Iterator[ClipName]:
    """All clips of a corpus."""
    counts = {("train", "normal", "source"): simulation.train_clips}
    counts |= {("test", label, "source"): simulation.test_clips for label in LABELS}
    counts |= {("train", "normal", "target"): simulation.target_train_clips}
    counts |= {("test", label, "target"): simulation.target_test_clips for label in LABELS}
    for machine_type, product in itertools.product(machine_types, range(simulation.products)):
        for (split, label, domain), count in counts.items():
            for number in range(count):
                yield ClipName(machine_type, product, split, label, number, domain)


def _make_clip(root: Path, simulation: Simulation, clip: ClipName) -> None:
    """Write a clip that is not there, named as in DCASE 2021, with fault and speed."""
    machine_type, product, split, label, number, domain = clip
    machine, fault, _ = draw_machine(simulation, clip)
    attributes = f"fault_{fault}_" if fault else ""
    name = f"section_{product:02d}_{domain}_{split}_{label}_{number:04d}_{attributes}"
    folder = root / machine_type / ("train" if split == "train" else f"{domain}_test")
    path = folder / f"{name}speed_{machine.shaft_hertz:.1f}.wav"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        try:
            write_clip(unfinished, simulate_clip(simulation, clip).audio)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def _stored(root: Path) -> dict:
    """What the folder says of its corpus; nothing where there is none."""
    path = root / SETTINGS_FILE
    return read_json(path) if os.path.exists(path) else {}


def _is_there(root: Path, about: dict) -> bool:
    """Whether the folder says that its corpus is complete, and holds as many files."""
    return _stored(root) == about and sum(1 for _ in root.glob("*/*/*.wav")) == about["files"]


def _about(root: Path, simulation: Simulation, machine_types: Sequence[str]) -> dict:
    """What the folder will say of its corpus when it is complete, with the types already there."""
    stored, about = _stored(root), {"generator": GENERATOR} | simulation.model_dump(mode="json")
    usual = {n: v for n, v in Simulation().model_dump(mode="json").items() if "target" in n}
    if not stored and os.path.isdir(root) and (things := inside(root)):
        raise InputError(
            f"{root}: holds {things[0].name}, and no {SETTINGS_FILE} of a simulated corpus; "
            "expected a folder of its own"
        )
    for name, value in about.items():
        if stored and (held := stored.get(name, usual.get(name, 0))) != value:
            raise InputError(
                f"{root} holds a corpus with {name} = {held}, not {value}; "
                "choose another folder or remove this one"
            )
    # the file of a corpus with one domain stays as it was before there were two
    about = {name: value for name, value in about.items() if usual.get(name, ...) != value}
    types = [t for t in MACHINE_TYPES if t in {*machine_types, *stored.get("machine_types", ())}]
    files = sum(1 for _ in _clips(simulation, types))
    return about | {"machine_types": types, "files": files, "complete": True}


def _write_about(root: Path, about: dict) -> None:
    with replacing(root / SETTINGS_FILE) as part:
        part.write_text(json.dumps(about, indent=2) + "\n")
