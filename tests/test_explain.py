"""Occlusion finds the seconds and the frequencies of a sound that is new."""

import re

import numpy as np
import pytest
import soundfile
from conftest import asd, write_clip, write_corpus
from scipy.signal import butter, sosfilt
from test_score import execute, refused

from asdstudy.use.detector import Detector
from asdstudy.use.explain import BANDS, audible, draw, explain
from asdstudy.use.plot import hz_of_mel, mel_of_hz
from asdstudy.use.recordings import recordings

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p", "ignore:collapse")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    corpus, h = write_corpus(folder / "corpus"), {"inliers": ("kNN",), "inlier": "kNN"}
    # after one epoch, what the network reacts to depends on the last bits of a processor
    learnt = {"epochs": 10, "learning_rate": 1e-3, "seed": 1}
    return execute(corpus, folder / "runs", "product-only", **h, **learnt)


@pytest.fixture(scope="module")
def detector(run):
    return Detector(run.folder)


def burst(path, low, high, begin, end):
    """A clip of noise with more of it between some frequencies, for a while."""
    write_clip(path)
    sound, rate = soundfile.read(path)
    band = butter(6, [low, high], "bandpass", fs=rate, output="sos")
    loud = sosfilt(band, np.random.default_rng(1).normal(0, 1, len(sound)))
    sound[round(begin * rate) : round(end * rate)] += loud[round(begin * rate) : round(end * rate)]
    soundfile.write(path, np.clip(0.5 * sound, -1, 1), rate)
    return path


def test_the_score_falls_most_without_the_new_sound(detector, tmp_path):
    """It is in the second of three half seconds, and in the band around 2 kHz."""
    path = burst(tmp_path / "a.wav", 1600, 2300, 0.5, 1.0)
    (recording,) = recordings([path], detector, "00")
    explanation = explain(detector, recording, progress=False)
    assert explanation.falls.shape == (BANDS, 3)
    band, column = np.unravel_index(explanation.falls.argmax(), explanation.falls.shape)
    assert column == 1
    assert explanation.falls.max() > 2 * np.abs(explanation.falls[:, [0, 2]]).max()
    low, high = explanation.hertz[band : band + 2]
    assert low < 2300 and high > 1600
    words = explanation.in_words(recording)
    assert f"without 0.5 to 1.0 s at {low:.0f} to {high:.0f} Hz" in words
    draw(explanation, detector, "a", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_what_made_the_score_high_is_heard_and_the_rest_is_turned_down(run, detector, tmp_path):
    """A made-up explanation, in which the score comes from the burst's band and half second."""
    path = burst(tmp_path / "a.wav", 1600, 2300, 0.5, 1.0)
    (recording,) = recordings([path], detector, "00")
    explanation = explain(detector, recording, progress=False)
    falls = np.full((BANDS, 3), -0.5)
    band = np.searchsorted(explanation.hertz, 1900) - 1
    falls[band, 1], falls[0, 0] = 2.0, 1.0
    sound = audible(explanation._replace(falls=falls))
    whole, _ = soundfile.read(path)
    assert sound.shape == whole.shape

    def level(sound, low, high, begin, end):
        part = sound[round(begin * 16_000) : round(end * 16_000)]
        power = np.abs(np.fft.rfft(part * np.hanning(len(part)))) ** 2
        hertz = np.fft.rfftfreq(len(part), 1 / 16_000)
        return 10 * np.log10(power[(hertz > low) & (hertz < high)].sum())

    low, high = explanation.hertz[band : band + 2] + [60, -60]
    for place, expected in (
        ((low, high, 0.55, 0.95), 0), ((low, high, 0.05, 0.45), -30), ((3500, 7000, 0.1, 1.4), -30),
        ((90, explanation.hertz[1] - 60, 0.05, 0.45), -15), ((7870, 8000, 0.1, 1.4), -30),
    ):  # fmt: skip
        assert level(sound, *place) - level(whole, *place) == pytest.approx(expected, abs=1), place
    quiet = audible(explanation._replace(falls=np.zeros((BANDS, 3))))
    np.testing.assert_allclose(quiet, whole * 10 ** (-30 / 20), atol=1e-6)
    asd("explain", run.folder, path, "--product", "00", "--out", tmp_path / "b" / "a.png")
    assert {file.name for file in (tmp_path / "b").iterdir()} == {"a.png", "a-anomalous.wav"}
    written, rate = soundfile.read(tmp_path / "b" / "a-anomalous.wav")
    assert rate == 16_000
    np.testing.assert_allclose(written, audible(explanation), atol=2**-15)


def test_a_sound_that_never_stops_is_found_beside_normal_ones(detector, tmp_path):
    path = burst(tmp_path / "a.wav", 1600, 2300, 0, 1.5)
    normal = [write_clip(tmp_path / f"normal-{seed}.wav", seed=seed) for seed in (1, 2)]
    (recording,), others = recordings([path], detector, "00"), recordings(normal, detector, "00")
    explanation = explain(detector, recording, others, progress=False)
    band = explanation.falls.sum(axis=1).argmax()  # no single patch takes all of it away
    low, high = explanation.hertz[band : band + 2]
    assert low < 2300 and high > 1600


def test_the_mel_scale_there_and_back():
    assert mel_of_hz(1000) == pytest.approx(1000, abs=0.1)
    assert hz_of_mel(mel_of_hz(4321.0)) == pytest.approx(4321)


def test_bad_input_is_one_line_and_leaves_nothing(run, tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(20_000), 16_000)
    for path, message in (
        (tmp_path / "silent.wav", "silent.wav: silent"),
        (tmp_path / "nowhere.wav", "nowhere.wav: cannot be read"),
        (tmp_path, "is a folder; expected a recording"),
    ):
        assert re.search(message, refused("explain", run.folder, path, "--out", tmp_path / "p.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["silent.wav"]
