"""The simulated corpus: its physics, its dials, and the files it leaves."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import ODD, ROOT, asd

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data import corpora, open_corpus, simulate, sound_fingerprint
from asdstudy.data.machines import FAULTS, MACHINE_TYPES, TYPES, Machine, machine_sound
from asdstudy.data.simulate import ClipName, Simulation, make_corpus, simulate_clip
from asdstudy.runs.study import Study

TINY = Simulation(clip_seconds=0.5, train_clips=3, test_clips=2, products=2)


def files_of(root):
    return {path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*.wav"))}


def spectrum(signal):
    """Frequencies in hertz and the power at them."""
    power = np.abs(np.fft.rfft(signal * np.hanning(len(signal)))) ** 2
    return np.fft.rfftfreq(len(signal), 1 / SAMPLE_RATE), power


def power_near(signal, hertz, width):
    frequencies, power = spectrum(signal)
    return power[np.abs(frequencies - hertz) < width].sum()


def sound_of(logarithms, seconds=1):
    """The sound of a machine, with the same chances for all, so that only its numbers differ."""
    machine = Machine.from_logarithms(logarithms)
    return machine_sound(machine, seconds * SAMPLE_RATE, np.random.default_rng(1))


def spectrogram(sound):
    """Magnitudes of frames of 64 ms, `(frames, frequencies)`."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 1024)[::512]
    return np.abs(np.fft.rfft(frames * np.hanning(1024), axis=1))


def mean_distance(sounds):
    """The mean distance between any two of some sounds, in dB per third of an octave."""
    edges = (1024 / SAMPLE_RATE * 100 * 2 ** (np.arange(19) / 3)).astype(int)
    power = [np.mean(spectrogram(sound) ** 2, axis=0) for sound in sounds]
    levels = [10 * np.log10(np.add.reduceat(p, edges)[:-1] + 1e-3) for p in power]
    pairs = [(a, b) for i, a in enumerate(levels) for b in levels[:i]]
    return np.mean([np.sqrt(np.mean((a - b) ** 2)) for a, b in pairs])


@pytest.mark.parametrize("product", range(3))
def test_blade_pass_line_of_the_fan_stands_at_blades_times_speed(product):
    clip = simulate_clip(Simulation(), ClipName("fan", product, "train", "normal", 0))
    expected = round(clip.numbers.teeth) * clip.numbers.shaft_hertz
    frequencies, power = spectrum(clip.machine)
    near = np.abs(frequencies / expected - 1) < 0.4
    # no other shaft harmonic may be louder than the line, and the wandering speed moves it by < 1 %
    assert frequencies[near][np.argmax(power[near])] == pytest.approx(expected, rel=0.01)


def test_damaged_tooth_shows_sidebands_of_the_mesh_at_the_shaft_rate():
    healthy = replace(TYPES["gearbox"], wander=1e-6, slip=1e-9, flow=1e-3, knock=1e-3, uneven=1e-3)
    damaged = replace(healthy, chipped=0.5)
    mesh, shaft = healthy.teeth * healthy.shaft_hertz, healthy.shaft_hertz

    def sidebands(machine):
        sound = machine_sound(machine, 4 * SAMPLE_RATE, np.random.default_rng(0))
        sides = [power_near(sound, mesh + k * shaft, 1.5) for k in (-3, -2, -1, 1, 2, 3)]
        between = [power_near(sound, mesh + (k + 0.5) * shaft, 1.5) for k in (-3, -2, -1, 0, 1, 2)]
        return np.array(sides), np.array(between)

    sides_healthy, _ = sidebands(healthy)
    sides_damaged, between = sidebands(damaged)
    assert (sides_damaged > 100 * between).all()  # lines, and at the shaft rate only
    assert sides_damaged.sum() > 10 * sides_healthy.sum()


def test_valve_clicks_where_its_strokes_start_and_end():
    valve = replace(TYPES["valve"], irregularity=1e-6, friction=1e-3, flow=1e-3, impacts=3)
    sound = machine_sound(valve, 4 * SAMPLE_RATE, np.random.default_rng(0))
    envelope = np.sqrt(np.mean(sound.reshape(-1, 80) ** 2, axis=1))  # 5 ms
    loud = envelope > 0.3 * envelope.max()
    clicks = np.sum(loud[1:] & ~loud[:-1])
    assert clicks == pytest.approx(2 * valve.cycle_hertz * 4, abs=2)


@pytest.mark.parametrize("machine_type", MACHINE_TYPES)
@pytest.mark.parametrize("snr_db", [-6.0, 6.0])
def test_snr_is_what_was_asked(machine_type, snr_db):
    clip = simulate_clip(
        TINY.replace(snr_db=snr_db), ClipName(machine_type, 0, "test", "anomaly", 1)
    )
    ratio = np.mean(clip.machine.astype(float) ** 2) / np.mean(clip.noise.astype(float) ** 2)
    assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.01)
    np.testing.assert_array_equal(clip.audio, clip.machine + clip.noise)


@pytest.mark.parametrize(
    ("machine_type", "fault"), [(t, fault) for t in MACHINE_TYPES for fault in FAULTS[t]]
)
def test_each_fault_changes_the_sound_and_more_so_when_worse(machine_type, fault):
    healthy = TYPES[machine_type].logarithms()
    direction = Machine.direction(FAULTS[machine_type][fault])
    before = spectrogram(sound_of(healthy))

    def change(severity):
        after = spectrogram(sound_of(healthy + severity * direction))
        return np.linalg.norm(after - before) / np.linalg.norm(before)

    assert change(0.0) < 1e-3
    assert change(0.0) < change(0.01) < change(0.6)
    assert change(0.6) > 0.15


def test_a_fault_names_only_numbers_that_machines_have():
    numbers = set(Machine.__dataclass_fields__)
    assert all(set(factors) <= numbers for faults in FAULTS.values() for factors in faults.values())


def test_level_says_nothing_of_the_label():
    simulation = TINY.replace(severity=1.0)
    levels = {
        label: [
            np.std(
                simulate_clip(simulation, ClipName("pump", product, "test", label, number)).audio
            )
            for product in range(2)
            for number in range(100)
        ]
        for label in ("normal", "anomaly")
    }
    louder = np.mean(np.subtract.outer(levels["anomaly"], levels["normal"]) > 0)  # the AUC
    assert 0.4 < louder < 0.6


@pytest.mark.parametrize("machine_type", MACHINE_TYPES)
def test_products_come_together_as_their_similarity_grows(machine_type):
    def distance(similarity):
        simulation = Simulation(product_similarity=similarity)
        numbers = [simulate.product_numbers(simulation, machine_type, p) for p in range(24)]
        return mean_distance([sound_of(n, seconds=2) for n in numbers])

    distances = [distance(similarity) for similarity in (0.0, 0.5, 0.8, 1.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 3  # dB
    assert distances[-1] == 0


def test_at_similarity_1_the_products_of_a_type_are_one():
    simulation = Simulation(product_similarity=1.0)
    first, second = (simulate.product_numbers(simulation, "fan", p) for p in (0, 1))
    np.testing.assert_array_equal(first, second)


def test_machine_types_come_together_as_their_similarity_grows():
    def distance(similarity):
        simulation = Simulation(machine_similarity=similarity)
        numbers = [simulate.machine_type_numbers(simulation, t) for t in MACHINE_TYPES]
        return mean_distance([sound_of(n, seconds=2) for n in numbers])

    distances = [distance(similarity) for similarity in (0.0, 0.3, 0.7, 1.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[0] > 6  # dB: further apart than product IDs
    assert distances[-1] < 0.1


def test_severity_0_makes_anomalies_of_healthy_machines():
    healthy, _, _ = simulate.draw_machine(
        TINY.replace(severity=0), ClipName("fan", 0, "test", "anomaly", 0)
    )
    faulty, fault, _ = simulate.draw_machine(TINY, ClipName("fan", 0, "test", "anomaly", 0))
    assert fault == "unbalance"
    assert faulty.wobble > 5 * healthy.wobble
    assert faulty.surge == pytest.approx(healthy.surge)


def test_a_clip_is_the_same_in_any_order_and_company():
    alone = simulate_clip(TINY, ClipName("ToyTrain", 1, "test", "anomaly", 1)).audio
    simulate_clip(TINY, ClipName("fan", 0, "train", "normal", 0))
    more = TINY.replace(train_clips=500, test_clips=500, products=20)
    np.testing.assert_array_equal(
        simulate_clip(more, ClipName("ToyTrain", 1, "test", "anomaly", 1)).audio, alone
    )


def test_clips_differ_by_all_that_names_them():
    first = ClipName("fan", 0, "train", "normal", 0)
    others = {"machine_type": "pump", "product": 1, "split": "test", "number": 1}
    names = [first, *(first._replace(**{field: value}) for field, value in others.items())]
    names.append(first._replace(split="test", label="anomaly"))
    noises = [simulate_clip(TINY, name).noise for name in names]
    noises.append(simulate_clip(TINY.replace(seed=1), first).noise)
    for i, noise in enumerate(noises):
        assert all(np.abs(np.corrcoef(noise, other)[0, 1]) < 0.5 for other in noises[:i])


@pytest.mark.parametrize("seconds", [0.5, 1.2345, 20])
def test_clips_have_the_length_asked_for(seconds):
    clip = simulate_clip(
        Simulation(clip_seconds=seconds), ClipName("valve", 0, "train", "normal", 0)
    )
    assert clip.audio.shape == (round(seconds * SAMPLE_RATE),)
    assert np.isfinite(clip.audio).all()


def test_corpus_is_the_same_with_one_worker_and_with_two(tmp_path):
    one = make_corpus(tmp_path / "one", TINY, ["fan", "valve"], workers=1, progress=False)
    two = make_corpus(tmp_path / "two", TINY, ["valve", "fan"], workers=2, progress=False)
    assert files_of(one) == files_of(two)
    assert (one / "corpus.json").read_text() == (two / "corpus.json").read_text()


MAKE = """
import sys
from asdstudy.data import open_corpus, sound_fingerprint
from asdstudy.data.simulate import Simulation, make_corpus
small = Simulation(clip_seconds=2, train_clips=6, test_clips=3, products=2)
make_corpus(sys.argv[1], small, workers=1, progress=False)
print(sound_fingerprint(open_corpus("simulated", sys.argv[1], progress=False)[1]))
"""


@pytest.mark.slow
def test_corpus_is_the_same_on_every_processor(tmp_path):
    """numpy has other code for processors with AVX, whose last digits are others."""
    features = np.show_config(mode="dicts")["SIMD Extensions"].get("found")
    if not features:
        pytest.skip("numpy has no other code for this processor")

    def made(name, **environment):
        environment |= {"PYTHONPATH": str(ROOT), "ASDLIB_ROOT": str(tmp_path / name)}
        return subprocess.run(
            [sys.executable, "-c", MAKE, tmp_path / name / "corpus"],
            env=os.environ | environment, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip

    plain = made("plain", NPY_DISABLE_CPU_FEATURES=" ".join(features))
    assert len(plain.strip()) == 16
    assert made("usual") == plain


@pytest.mark.slow
def test_default_corpus_is_the_one_that_was_measured(tmp_path):
    folder = make_corpus(tmp_path / "simulated", progress=False)
    _, banks = open_corpus("simulated", folder, progress=False)
    assert sound_fingerprint(banks) == "e14c61f3e7fa312b"


def test_corpus_has_the_layout_of_dcase_2021(tmp_path):
    root = make_corpus(tmp_path / "corpus", TINY, ["slider"], workers=1, progress=False)
    names = [path.name for path in files_of(root)]
    assert len(names) == 2 * (3 + 2 + 2)
    assert (
        len(list((root / "slider" / "train").glob("section_01_source_train_normal_000?_speed_*")))
        == 3
    )
    assert list(
        (root / "slider" / "source_test").glob("section_00_source_test_normal_0001_speed_*")
    )
    (first,) = (root / "slider" / "source_test").glob("section_00_source_test_anomaly_0000_*")
    assert "_fault_rail-damage_speed_" in first.name
    info = soundfile.info(first)
    assert (info.samplerate, info.channels, info.subtype) == (SAMPLE_RATE, 1, "PCM_16")
    written, _ = soundfile.read(first)
    audio = simulate_clip(TINY, ClipName("slider", 0, "test", "anomaly", 0)).audio
    np.testing.assert_allclose(written, audio, atol=2**-15)
    about = json.loads((root / "corpus.json").read_text())
    assert (about["complete"], about["files"]) == (True, len(names))


def test_a_target_domain_lies_beside_the_source_and_changes_nothing_in_it(tmp_path):
    both = TINY.replace(target_train_clips=1, target_test_clips=2)
    one, two = (
        make_corpus(tmp_path / name, simulation, ["fan"], workers=1, progress=False)
        for name, simulation in (("one", TINY), ("two", both))
    )
    files, more = files_of(one), files_of(two)
    assert files.items() <= more.items()
    clips = corpora.index(two)
    counts = clips.groupby(["domain", "split", "label"]).size().to_dict()
    assert counts == {
        ("source", "train", "normal"): 6, ("source", "test", "normal"): 4,
        ("source", "test", "anomaly"): 4, ("target", "train", "normal"): 2,
        ("target", "test", "normal"): 4, ("target", "test", "anomaly"): 4,
    }  # fmt: skip
    assert len(corpora.index(two, domain="source")) == len(files)
    assert "target" not in (one / "corpus.json").read_text()
    for folder, simulation, wrong in ((one, both, "0, not 1"), (two, TINY, "1, not 0")):
        with pytest.raises(InputError, match=f"target_train_clips = {wrong}"):
            make_corpus(folder, simulation, ["fan"], progress=False)


def test_the_target_domain_has_other_speed_load_noise_and_microphone():
    def drawn(domain, product=0):
        names = [ClipName("gearbox", product, "train", "normal", n, domain) for n in range(12)]
        clips = [simulate_clip(Simulation(), name) for name in names]
        numbers = pd.DataFrame([vars(clip.numbers) for clip in clips])
        return numbers, *(
            np.stack([getattr(c, name) for c in clips]) for name in ("machine", "noise")
        )

    (source, *sounds), (target, *others) = drawn("source"), drawn("target")
    speeds = source.shaft_hertz / np.median(source.shaft_hertz)
    factor = target.shaft_hertz / np.median(source.shaft_hertz)
    assert (factor.min() > speeds.max()) or (factor.max() < speeds.min())
    load = np.log(target.mesh.mean() / source.mesh.mean())
    assert abs(load) > 0.3 and abs(np.log(target.flow_slope / source.flow_slope.mean())).max() < 0.3

    def ratio(machine, noise):
        return 10 * np.log10((machine**2).mean(axis=1) / (noise**2).mean(axis=1))

    np.testing.assert_allclose(ratio(*sounds), 8)
    np.testing.assert_allclose(ratio(*others), 4)
    # the microphone is the same for all clips of a product ID, and another for the next
    again = drawn("target")
    np.testing.assert_array_equal(again[1], others[0])
    first, second = (simulate.target_conditions(Simulation(), "fan", p)[1].random() for p in (0, 1))
    assert first != second


def test_a_target_domain_of_one_change_is_the_source_in_all_else(tmp_path):
    """Without noise and microphone the ratio of the two sounds stays; without speed, the shaft."""

    def drawn(*changes):
        simulation = TINY.replace(target_changes=changes)
        clip = simulate_clip(simulation, ClipName("fan", 0, "test", "normal", 0, "target"))
        ratio = 20 * np.log10(clip.machine.std() / clip.noise.std())
        return clip.numbers.shaft_hertz, clip.numbers.friction, ratio, clip.noise

    speed, load, noise, microphone = map(drawn, ("speed", "load", "noise", "microphone"))
    assert speed[0] != load[0] == noise[0] == microphone[0]
    assert load[1] != speed[1] == noise[1] == microphone[1]
    ratios = [speed[2], load[2], microphone[2], noise[2]]
    assert ratios == pytest.approx([TINY.snr_db] * 3 + [TINY.snr_db - 4], abs=0.01)
    tilt = np.corrcoef(noise[3], microphone[3])[0, 1]
    assert np.corrcoef(noise[3], load[3])[0, 1] == pytest.approx(1) and tilt < 0.999
    quiet = TINY.replace(target_test_clips=1, target_changes=("noise", "load"))
    folder = make_corpus(tmp_path / "one", quiet, ["fan"], workers=1, progress=False)
    assert make_corpus(folder, quiet, ["fan"], workers=1, progress=False) == folder
    with pytest.raises(InputError, match="target_changes = .*noise.*, not .*speed"):
        make_corpus(folder, TINY.replace(target_test_clips=1), ["fan"], progress=False)


def test_corpus_cut_short_is_gone_on_with(tmp_path):
    root = make_corpus(tmp_path / "corpus", TINY, ["fan"], workers=1, progress=False)
    whole = files_of(root)
    kept, lost = sorted(root.rglob("*.wav"))[:2]
    lost.rename(lost.with_name(lost.name + ".part"))  # as an interrupted write leaves it
    lost.with_name(lost.name + ".part").write_bytes(b"half")
    untouched = kept.stat().st_mtime_ns
    make_corpus(root, TINY, ["fan"], workers=1, progress=False)
    assert files_of(root) == whole
    assert kept.stat().st_mtime_ns == untouched
    assert not list(root.rglob("*.part"))


def test_complete_corpus_is_left_alone(tmp_path, monkeypatch):
    root = make_corpus(tmp_path / ODD, TINY, ["fan"], workers=1, progress=False)
    monkeypatch.setattr(simulate, "_make_clip", lambda *_: pytest.fail("made clips again"))
    assert make_corpus(root, TINY, ["fan"], workers=1, progress=False) == root


def test_machine_types_can_be_added(tmp_path):
    root = make_corpus(tmp_path / "corpus", TINY, ["fan"], workers=1, progress=False)
    make_corpus(root, TINY, ["pump"], workers=1, progress=False)
    about = json.loads((root / "corpus.json").read_text())
    assert about["machine_types"] == ["fan", "pump"]


def test_other_settings_in_the_same_folder_are_an_error(tmp_path):
    root = make_corpus(tmp_path / "corpus", TINY, ["fan"], workers=1, progress=False)
    with pytest.raises(InputError, match=r"corpus.*snr_db = 8.0, not 0.0"):
        make_corpus(root, TINY.replace(snr_db=0.0), ["fan"], progress=False)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("severity", 1.5), ("products", 0), ("clip_seconds", 0.1), ("seed", 0.5), ("snr_db", np.nan)],
)
def test_wrong_settings_are_named(setting, value):
    with pytest.raises(InputError, match=setting):
        Simulation(**{setting: value})


def test_whole_numbers_and_broken_ones_are_the_same_settings(tmp_path):
    make_corpus(tmp_path, TINY.replace(snr_db=6), ["fan"], workers=1, progress=False)
    make_corpus(tmp_path, TINY.replace(snr_db=np.float64(6.0)), ["fan"], progress=False)


def test_unknown_machine_type_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"'car'.*ToyCar"):
        make_corpus(tmp_path / "corpus", TINY, ["fan", "car"], progress=False)
    assert not (tmp_path / "corpus").exists()


def test_command_makes_the_corpus_it_was_asked_for(tmp_path, capsys):
    root = tmp_path / "corpus"
    words = "--seed 3 --snr-db -6 --clip-seconds 0.5 --train-clips 1 --test-clips 1 --products 1"
    asd("simulate", root, *words.split(), "--machine-types", "pump", "--workers", 1)
    assert str(root) in capsys.readouterr().out
    about = json.loads((root / "corpus.json").read_text())
    assert (about["seed"], about["snr_db"]) == (3, -6.0)
    assert len(files_of(root)) == 3


def test_a_study_s_settings_are_options_of_the_command(tmp_path):
    settings = {"snr_db": -6.5, "products": 1, "train_clips": 1, "test_clips": 0}
    study = Study(
        machine_types=["fan"],
        data_dir=str(tmp_path / ODD),
        simulation={**settings, "machine_types": ["fan", "pump"]},
    )
    asd("simulate", tmp_path / ODD, "--workers", 1, *shlex.split(study.simulator_options()))
    about = json.loads((tmp_path / ODD / "corpus.json").read_text())
    assert about["machine_types"] == ["fan", "pump"]
    assert settings.items() <= about.items()


def test_command_names_a_wrong_setting(tmp_path):
    with pytest.raises(
        SystemExit, match="error: severity is 2.0; expected less than or equal to 1"
    ):
        asd("simulate", tmp_path, "--severity", "2")
