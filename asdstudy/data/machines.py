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

from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from asdlib.profiles import SAMPLE_RATE

SHAFT_HARMONICS = 8
MESH_HARMONICS = 4
WHINE_HARMONICS = 3
RUN_IN_SECONDS = 0.1  # filters are circular: what wraps round rings in this time and is cut off

Signal = NDArray[np.float64]


def _number(product: float, clip: float, default=MISSING) -> float:
    """A field whose logarithm varies so much between ``product`` IDs and between ``clip``s."""
    return field(default=default, metadata={"product": product, "clip": clip})


@dataclass(frozen=True)
class Machine:
    """The numbers a machine's sound is made from; levels are amplitudes relative to each other."""

    shaft_hertz: float = _number(0.20, 0.015)
    teeth: float = _number(0.22, 0.0)  # blades of a fan, teeth of a gear: rounded when heard
    wander: float = _number(0.20, 0.30)  # of the speed, relative
    cycle_hertz: float = _number(0.35, 0.03)  # strokes, valve actuations, rail joints a second
    duty: float = _number(0.40, 0.04)  # the part of a cycle that the stroke takes
    irregularity: float = _number(0.40, 0.15)  # of the time from stroke to stroke
    gating: float = _number(0.40, 0.05)  # how far whine and flow follow the stroke, 0 to 1

    shaft: float = _number(0.30, 0.80)  # level of the harmonics of the rotation
    mesh: float = _number(0.30, 0.80)  # level of the blade-pass or gear-mesh tone
    flow: float = _number(0.30, 0.80)  # level of the flow noise
    friction: float = _number(0.30, 0.80)  # level of the noise of the stroke
    impacts: float = _number(0.30, 0.80)  # level of the clicks where a stroke starts and ends
    whine: float = _number(0.30, 0.80)  # level of the motor's whine

    rolloff: float = _number(0.15, 0.20)  # harmonic k has the amplitude k ** -rolloff
    flow_hertz: float = _number(0.30, 0.30)  # corner of the flow noise
    flow_slope: float = _number(0.15, 0.04)  # its fall above the corner, in 6 dB an octave
    friction_hertz: float = _number(0.25, 0.20)  # centre of the noise of the stroke
    click_hertz: float = _number(0.25, 0.06)
    click_seconds: float = _number(0.25, 0.10)  # decay time of a click
    whine_hertz: float = _number(0.20, 0.010)

    mode_1: float = _number(0.15, 0.080)  # resonances of the body, in hertz
    mode_2: float = _number(0.15, 0.080)
    mode_3: float = _number(0.15, 0.080)
    mode_4: float = _number(0.15, 0.080)
    quality: float = _number(0.20, 0.15, 6.0)  # resonance frequency / bandwidth

    # No machine is perfect: these are small in a healthy one and grow with its faults.
    wobble: float = _number(1.2, 0.40, 0.05)  # everything swells once a turn
    uneven: float = _number(1.2, 0.40, 0.08)  # blades or teeth differ round the wheel
    chipped: float = _number(1.2, 0.40, 0.05)  # one tooth differs: a short disturbance each turn
    knock: float = _number(1.2, 0.40, 0.02)  # one blow each turn
    scrape: float = _number(1.2, 0.40, 0.02)  # blows at one place of the stroke
    rattle: float = _number(1.2, 0.40, 0.02)  # blows at random
    surge: float = _number(1.2, 0.40, 0.12)  # the flow comes and goes
    hiss: float = _number(1.2, 0.40, 0.02)  # gas or liquid leaves through a slit
    squeal: float = _number(1.2, 0.40, 0.02)  # stick-slip tone of the stroke
    slip: float = _number(1.2, 0.40, 0.004)  # the speed sags in jerks

    def logarithms(self) -> NDArray[np.float64]:
        """The natural logarithms of all numbers, ``(fields,)``."""
        return np.array([_log(getattr(self, f.name)) for f in fields(self)])

    @classmethod
    def from_logarithms(cls, logarithms: NDArray[np.float64]) -> "Machine":
        """The machine whose ``logarithms()``, ``(fields,)``, these are."""
        return cls(*_exp(logarithms).tolist())

    @classmethod
    def spread(cls, between: str) -> NDArray[np.float64]:
        """Standard deviations ``(fields,)`` of the logarithms between "product" IDs or "clip"s."""
        return np.array([f.metadata[between] for f in fields(cls)])

    @classmethod
    def direction(cls, factors: dict[str, float]) -> NDArray[np.float64]:
        """The offset of the logarithms, ``(fields,)``, that multiplies the named numbers."""
        return np.array([_log(factors.get(f.name, 1.0)) for f in fields(cls)])


# These two are the same on every processor, as numpy's are not.
@lru_cache(maxsize=1024)
def _log(number: float) -> float:
    return float(Decimal(number).ln())


def _exp(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([float(Decimal(number).exp()) for number in numbers.tolist()])


NUMBERS = """
                      fan  gearbox     pump    valve   slider   ToyCar ToyTrain
shaft_hertz            24       19       48       50       12       85       33
teeth                   7       31        5        2       20       10        9
wander              0.002    0.002    0.003    0.001    0.006    0.008    0.006
cycle_hertz             1      1.5        7      2.2      0.9        9        3
duty                  0.5      0.5      0.7     0.35     0.75      0.4      0.3
irregularity          0.2      0.2     0.02     0.25     0.03     0.05     0.03
gating               0.02     0.05      0.7      0.9      0.9      0.1      0.1
shaft                 0.3      0.3      0.5     0.06      0.1     0.35      0.2
mesh                  0.7        1      0.3     0.04     0.12      0.7     0.35
flow                    1     0.25      0.8      0.1     0.08     0.25     0.45
friction             0.03     0.05     0.25      0.2      0.9     0.08     0.25
impacts              0.03     0.03     0.12      1.5     0.35     0.06      0.9
whine                0.05     0.05     0.05     0.03     0.45      0.5      0.4
rolloff               1.2      0.9      0.7      1.2      0.9      0.6      0.8
flow_hertz            250      700      900     2500     1200     1800      200
flow_slope              1      0.8      1.3      0.7      0.8      0.7      1.2
friction_hertz       1500     1800      900     4200     2600     3200     1100
click_hertz          1800     2400      700     3500     1400     2800     1200
click_seconds        0.01    0.006    0.012    0.004    0.015    0.004    0.018
whine_hertz          1900     2600     1200      900     1100     3100     1700
mode_1                180      560      120     1300      480      850      300
mode_2                420     1250      350     2600     1500     2100      750
mode_3                950     2000      800     4300     2700     3800     1700
mode_4               2100     3400     1600     6300     4600     5600     2900
"""
_HEADER, *_ROWS = [line.split() for line in NUMBERS.strip().splitlines()]
TYPES = {
    machine_type: Machine(**{name: float(row[column]) for name, *row in _ROWS})
    for column, machine_type in enumerate(_HEADER)
}
MACHINE_TYPES = tuple(TYPES)

# What a fault multiplies the numbers by at severity 0.7; at 0.35 it is the square root of that.
TABLE_SEVERITY = 0.7
FAULTS = {
    "fan": {
        "unbalance": {"wobble": 100, "shaft": 1.5, "knock": 100},
        "wing-damage": {"uneven": 64, "chipped": 36, "rattle": 36},
        "clogging": {"surge": 64, "mesh": 0.5},
        "over-voltage": {"shaft_hertz": 1.3, "whine": 2, "whine_hertz": 1.3},
    },
    "gearbox": {
        "damaged-tooth": {"chipped": 80, "knock": 100},
        "overload": {"shaft_hertz": 0.85, "uneven": 64, "slip": 100},
    },
    "pump": {
        "leak": {"hiss": 200, "surge": 16},
        "clogging": {"surge": 64, "cycle_hertz": 0.75},
        "dry-run": {"gating": 0.15, "rattle": 200, "uneven": 36},
    },
    "valve": {
        "contaminated-seat": {"hiss": 100, "irregularity": 2},
        "contaminated-plunger": {"irregularity": 4, "duty": 1.8, "scrape": 900},
        "contaminated-inlet": {"squeal": 400, "cycle_hertz": 0.8},
    },
    "slider": {
        "rail-damage": {"scrape": 900},
        "loose-belt": {"slip": 1200, "rattle": 64, "irregularity": 10},
        "no-grease": {"squeal": 900, "cycle_hertz": 0.85},
    },
    "ToyCar": {
        "bent-shaft": {"wobble": 100, "knock": 64},
        "worn-gear": {"uneven": 36, "chipped": 50, "rattle": 64},
        "damaged-wheel": {"scrape": 900, "slip": 100},
    },
    "ToyTrain": {
        "broken-shaft": {"wobble": 100, "knock": 100, "slip": 64},
        "track-joint": {"scrape": 900, "cycle_hertz": 0.8},
        "obstruction": {"slip": 900, "squeal": 200},
    },
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

    uneven = min(m.uneven, 0.8) * (turn.real + 0.5 * _shifted(turn * turn, rng))
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


def _shifted(phasor, rng) -> Signal:
    """The real part of a phasor after a random turn."""
    return (phasor * np.exp(2j * np.pi * rng.random())).real


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
    """A random course over frequency, N(0, 1) at ``an_octave`` places, ``(n // 2 + 1,)``."""
    places = np.arange(8 * an_octave + 1) / an_octave
    return np.interp(octaves(n), places, rng.standard_normal(len(places)))


def normalised(signal: Signal) -> Signal:
    """The signal with an RMS of 1; silence stays silence."""
    return signal / max(np.sqrt(np.mean(signal**2)), np.finfo(np.float64).tiny)
