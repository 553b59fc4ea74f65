"""How machines sound: one source model, seven sets of numbers, and faults as directions.

Every machine type is the same physical picture with other numbers. A shaft turns and carries a gear
or a wheel of blades; a fluid flows; something goes to and fro in strokes; parts hit one another;
a motor whines; all of it is heard through the body's resonances. A ``Machine`` holds these numbers.

All of them are positive, so everything that changes a machine is an offset of their logarithms:
a product ID from its type, a clip from its product ID, a fault from the healthy machine.

The sound is the same on every processor, though the last digits of numpy's functions are not: it is
made in double precision, where they lie far below a 16-bit sample, and what would magnify them, the
numbers of a machine, its strokes and the phase of its whine, is computed exactly.

Sources: fans, gears and their sidebands after Randall, "Vibration-based Condition Monitoring"
(2011); machine types and kinds of faults after MIMII DUE (Tanabe et al., 2021) and ToyADMOS2
(Harada et al., 2021). The numbers themselves are ours: plausible, not fitted to recordings.
"""

from dataclasses import astuple, make_dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import fft

from asdlib.profiles import SAMPLE_RATE

SHAFT_HARMONICS = 8
MESH_HARMONICS = 4
WHINE_HARMONICS = 3
RUN_IN_SECONDS = 0.1  # filters are circular: what wraps round rings in this time and is cut off

Signal = NDArray[np.float64]

# machines.csv has a row for each number of a machine: what it means, its value for each type, and
# how much its logarithm varies between product IDs and between clips. Levels are amplitudes
# relative to each other. The last numbers are small in a healthy machine and grow with its faults.
# faults.csv has what a fault multiplies them by at TABLE_SEVERITY: at half of that, its root.
_FOLDER = Path(__file__).parent
NUMBERS = pd.read_csv(_FOLDER / "machines.csv", index_col="number", dtype=str)
NUMBERS = NUMBERS.drop(columns="meaning").astype(float)  # as Python reads floats: to the last bit
MACHINE_TYPES = tuple(NUMBERS.columns.drop(["product", "clip"]))
TABLE_SEVERITY = 0.7


class Machine(make_dataclass("Numbers", [*NUMBERS.index], frozen=True)):
    """The numbers that a machine's sound is made from, all positive."""

    def logarithms(self) -> NDArray[np.float64]:
        """The natural logarithms of all numbers, ``(numbers,)``."""
        return np.array([_log(number) for number in astuple(self)])

    @classmethod
    def from_logarithms(cls, logarithms: NDArray[np.float64]) -> "Machine":
        """The machine whose ``logarithms()``, ``(numbers,)``, these are."""
        return cls(*_exp(logarithms).tolist())

    @classmethod
    def direction(cls, factors: dict[str, float]) -> NDArray[np.float64]:
        """The offset of the logarithms, ``(numbers,)``, that multiplies the named numbers."""
        return np.array([_log(factors.get(name, 1.0)) for name in NUMBERS.index])


# These two are the same on every processor, as numpy's are not.
@lru_cache(maxsize=1024)
def _log(number: float) -> float:
    return float(Decimal(number).ln())


def _exp(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([float(Decimal(number).exp()) for number in numbers.tolist()])


TYPES = {name: Machine(*NUMBERS[name].tolist()) for name in MACHINE_TYPES}
_ROWS = pd.read_csv(_FOLDER / "faults.csv", dtype={"factor": float})
FAULTS = {  # machine type: fault: number: factor
    machine_type: {
        fault: dict(zip(part.number, part.factor, strict=True))
        for fault, part in rows.groupby("fault", sort=False)
    }
    for machine_type, rows in _ROWS.groupby("machine_type", sort=False)
}


def machine_sound(machine: Machine, samples: int, rng: np.random.Generator) -> Signal:
    """What one microphone hears of a machine, ``(samples,)``, with an RMS of 1, without the room.

    The chances of this run of the machine (starting angle, wandering speed, which stroke hits how
    hard, where the microphone stands) come from ``rng``.
    """
    m = machine
    n = padded(samples)
    hertz = frequencies(n)
    place = 10 ** (0.3 * smooth_tilt(n, rng, 3))  # 6 dB up and down with the microphone's place
    stroke, ends, scraped = _strokes(m, n, rng)
    gate = 1 - min(m.gating, 1.0) * (1 - stroke)

    jerks = smooth_noise(n, 8.0, rng) ** 2
    speed = 1 + m.wander * smooth_noise(n, 4.0, rng) - np.minimum(m.slip * jerks, 0.6)
    angle = 2 * np.pi * (np.cumsum(m.shaft_hertz / SAMPLE_RATE * speed) + rng.random())
    turn = _phasor(angle)
    tooth = np.exp(12 * (turn.real - 1))  # the damaged tooth passes once a turn

    uneven = min(m.uneven, 0.8) * (
        turn.real + 0.5 * (turn * turn * np.exp(2j * np.pi * rng.random())).real
    )
    teeth = max(round(m.teeth), 2)
    mesh = _phasor(angle * teeth) * _phasor(m.chipped * tooth)
    sound = m.shaft * _harmonics(turn, SHAFT_HARMONICS, m.rolloff, rng)
    level = m.mesh * (1 + uneven + 2 * m.chipped * tooth)
    sound += level * _harmonics(mesh, MESH_HARMONICS, m.rolloff, rng)
    whine_turns = m.whine_hertz / SAMPLE_RATE * speed * (0.7 + 0.3 * gate)
    whine = _phasor(2 * np.pi * _running_phase(whine_turns))
    sound += m.whine * gate * _harmonics(whine, WHINE_HARMONICS, 1.0, rng)

    white = white_spectrum(n, rng)
    flow = shaped_noise(white / (1 + (hertz / m.flow_hertz) ** 2) ** (m.flow_slope / 2), n)
    blown = gate * (1 + 0.2 * mesh.real + uneven)
    blown *= np.exp(min(m.surge, 1.5) * smooth_noise(n, 6.0, rng))
    sound += m.flow * blown * flow

    rubbing = shaped_noise(white_spectrum(n, rng) * _resonance(hertz, m.friction_hertz, 1.0), n)
    chatter = _phasor(2 * np.pi * m.mode_3 / SAMPLE_RATE * np.cumsum(1 + 0.03 * jerks))
    grip = np.maximum(smooth_noise(n, 12.0, rng), 0)  # squeals come and go
    squeal = m.squeal * 2 * grip * _harmonics(chatter, 3, 0.5, rng)
    sound += stroke * (m.friction * rubbing + squeal)
    sound += m.hiss * np.diff(rubbing, prepend=0) * (0.5 + gate)
    sound *= 1 + min(m.wobble, 0.9) * turn.real

    turns = np.flatnonzero(np.diff(np.floor(angle / (2 * np.pi))))
    loose = rng.integers(0, n, rng.poisson(15 * n / SAMPLE_RATE))
    blows = m.impacts * _blows(ends, 0.25, n, rng) + m.knock * _blows(turns, 0.3, n, rng)
    blows += m.scrape * _blows(scraped, 0.4, n, rng) + m.rattle * _blows(loose, 0.8, n, rng)
    click = _resonance(hertz, m.click_hertz, np.pi * m.click_hertz * m.click_seconds)
    click *= np.sqrt(0.2 * SAMPLE_RATE / np.mean(np.abs(click) ** 2))

    modes = m.mode_1, m.mode_2, m.mode_3, m.mode_4
    body = 0.3 + sum(_resonance(hertz, mode, m.quality) for mode in modes)
    spectrum = (fft.rfft(sound) + fft.rfft(blows) * click) * (body * place)
    return normalised(fft.irfft(spectrum, n)[n - samples :])


def _strokes(m: Machine, n: int, rng: np.random.Generator):
    """The stroke's speed, 0 to 1, ``(n,)``; the samples where strokes end; those of a scrape."""
    duration = n / SAMPLE_RATE
    count = int(duration * m.cycle_hertz * 2) + 8
    intervals = _exp(np.clip(m.irregularity * rng.standard_normal(count), -1, 1)) / m.cycle_hertz
    starts = np.cumsum(intervals) - intervals[0] * (1 + rng.random())
    duty = min(m.duty, 0.95)
    time = np.arange(n) / SAMPLE_RATE
    place = np.interp(time, starts, np.arange(count)) % 1 / duty
    stroke = np.sqrt(np.sin(np.pi * place).clip(0)) * (place < 1)

    def samples(places):
        return ((starts[:-1, None] + np.diff(starts)[:, None] * places) * SAMPLE_RATE).astype(int)

    ends = samples(np.array([0, duty])).ravel()
    scraped = samples(duty * np.array([0.55, 0.6, 0.65])).ravel()
    return stroke, ends, scraped


def _phasor(angle: NDArray[np.float64]) -> NDArray[np.complex128]:
    """exp(i angle)."""
    phasor = np.empty(len(angle), np.complex128)
    np.cos(angle, out=phasor.real)
    np.sin(angle, out=phasor.imag)
    return phasor


def _running_phase(turns: Signal) -> Signal:
    """The running sum of ``turns``, modulo 1: exact, so that the error of one is not magnified."""
    steps = np.cumsum((turns * 2.0**60).astype(np.int64))  # overflows, and keeps the fraction
    return (steps & (2**60 - 1)) / 2.0**60


def _harmonics(phasor, count: int, rolloff: float, rng) -> Signal:
    """The sum of ``count`` harmonics with amplitudes k ** -rolloff and random phases, RMS 1."""
    amplitudes = np.arange(1, count + 1) ** -rolloff
    amplitudes = amplitudes / np.sqrt(np.sum(amplitudes**2) / 2)
    weights = amplitudes * np.exp(2j * np.pi * rng.random(count))
    total = np.zeros_like(phasor)
    for weight in weights[::-1]:  # Horner's scheme
        total += weight
        total *= phasor
    return total.real


def _blows(places, spread: float, n: int, rng) -> Signal:
    """Impulses at the samples ``places``, hit more or less hard by a log-normal ``spread``."""
    places = places[(places >= 0) & (places < n)]
    force = np.exp(spread * rng.standard_normal(len(places)))
    return np.bincount(places, force, minlength=n)


def _resonance(hertz: Signal, centre: float, quality: float) -> NDArray[np.complex128]:
    """The response of a damped resonance, 1 at its centre, ``(len(hertz),)``."""
    ratio = hertz / centre
    return 1 / (1 + 1j * quality * (ratio - 1 / ratio))


def padded(samples: int) -> int:
    """A length good for the FFT, with the run-in before ``samples``."""
    return fft.next_fast_len(samples + int(RUN_IN_SECONDS * SAMPLE_RATE), real=True)


@lru_cache(maxsize=4)
def frequencies(n: int) -> Signal:
    """The frequencies of ``rfft`` over ``n`` samples in hertz, ``(n // 2 + 1,)``; never quite 0."""
    return np.maximum(fft.rfftfreq(n, 1 / SAMPLE_RATE), 1.0)


def white_spectrum(n: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """The spectrum of white noise of ``n`` samples above 30 Hz, ``(n // 2 + 1,)``."""
    spectrum = rng.standard_normal(2 * (n // 2 + 1)).view(np.complex128)
    spectrum[frequencies(n) < 30] = 0
    return spectrum


def shaped_noise(spectrum: NDArray[np.complex128], n: int) -> Signal:
    """Noise of ``n`` samples with a given spectrum and an RMS of 1."""
    return normalised(fft.irfft(spectrum, n))


def smooth_noise(n: int, hertz: float, rng: np.random.Generator) -> Signal:
    """A random course of time, about N(0, 1), drawn ``hertz`` times a second, ``(n,)``."""
    knots = rng.standard_normal(int(n / SAMPLE_RATE * hertz) + 2)
    time = np.arange(n) * (hertz / SAMPLE_RATE)
    return np.interp(time, np.arange(len(knots)), knots)


@lru_cache(maxsize=4)
def octaves(n: int) -> Signal:
    """Octaves above 31.25 Hz of the frequencies of ``rfft`` over ``n`` samples."""
    return np.log2(frequencies(n) / 31.25)


def smooth_tilt(n: int, rng: np.random.Generator, an_octave: int = 1) -> Signal:
    """Random over frequency, N(0, 1) at ``an_octave`` places per octave, ``(n // 2 + 1,)``."""
    places = np.arange(8 * an_octave + 1) / an_octave
    return np.interp(octaves(n), places, rng.standard_normal(len(places)))


def normalised(signal: Signal) -> Signal:
    """The signal with an RMS of 1; silence stays silence."""
    return signal / max(np.sqrt(np.mean(signal**2)), np.finfo(np.float64).tiny)
