"""The exported encoder says what the run says."""

import csv
import json
import sys

import numpy as np
import pytest
import soundfile
from conftest import asd, write_corpus
from test_score import execute, refused

from asdlib.embedding import Embedded
from asdlib.waves import segment_starts
from asdstudy.runs.embeddings import read_embeddings
from asdstudy.use.detector import Detector

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p", "ignore:collapse")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("c") / "corpus")


@pytest.fixture(scope="module", params=[{}, {"mel_power": 1.0, "log_mel": False}], ids=str)
def run(noise, tmp_path_factory, request):
    return execute(noise, tmp_path_factory.mktemp("runs"), **request.param)


@pytest.mark.slow
def test_embeddings_and_scores_of_an_exported_encoder(run, noise, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    asd("export", run.folder, tmp_path / "model.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    about = session.get_modelmeta().custom_metadata_map
    about = {name: json.loads(value) for name, value in about.items()}
    assert about["products"] == ["00", "01"] and about["sample_rate"] == 16_000
    detector = Detector(run.folder)
    test = read_embeddings(run.folder).of_parts("test")
    with (run.folder / "scores.csv").open(newline="") as file:
        stored = {row["file"]: float(row["score"]) for row in csv.DictReader(file)}
    for row, path in enumerate(test.clips.path):
        sound, _ = soundfile.read(noise / path, dtype="float32")
        length = about["segment_frames"]
        starts = segment_starts(len(sound), about["segments"], length)
        segments = np.stack([sound[start : start + length] for start in starts])
        embeddings, logits = session.run(None, {"samples": segments})
        np.testing.assert_allclose(embeddings, test.embeddings[row], atol=1e-4)
        np.testing.assert_allclose(logits, test.logits[row], atol=1e-4)
        one = Embedded(test.clips.iloc[[row]], embeddings[None], logits[None])
        score = detector.judge(one, test.clips["product"].iloc[row]).score
        assert score == pytest.approx(stored[path.name], abs=1e-3, rel=1e-3)


def test_without_the_package_it_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    line = refused("export", run.folder, tmp_path / "model.onnx")
    assert "onnx is not installed; expected the extra `onnx`" in line
    assert not list(tmp_path.iterdir())
