"""The trivial detectors find what they are made for, and nothing else."""

import numpy as np
import pytest
import soundfile

from asdstudy.report import results, statistics


@pytest.mark.parametrize(
    "fault, detector", [("louder", "level"), ("a tone", "spectrum"), ("nothing", None)]
)
def test_detectors(tmp_path, fault, detector):
    rng = np.random.default_rng(0)
    for split, label, count in (
        ("train", "normal", 40),
        ("test", "normal", 20),
        ("test", "anomaly", 20),
    ):
        folder = tmp_path / "pump" / split
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            sound = rng.normal(0, 0.05, 8000)
            if label == "anomaly" and fault == "a tone":
                tone = np.sin(0.5 * np.arange(8000))
                sound = 0.05 * (sound + 0.02 * tone) / np.std(sound + 0.02 * tone)
            sound *= 2.0 if label == "anomaly" and fault == "louder" else 1.0
            name = f"section_00_source_{split}_{label}_{number:04d}.wav"
            soundfile.write(folder / name, sound, 16_000, subtype="PCM_16")
    rows = results.systems(results.untrained("t", ["pump"], "quick", tmp_path))
    value = statistics.values(rows, ["system"]).set_index("system").value
    if detector:
        assert value[detector] == 100
    if detector != "level":
        assert value["level"] < 75
    if detector is None:
        assert value["spectrum"] < 75
