"""The model card: the figures of the run, and what they do not say."""

import json

import pandas as pd
import pytest
from conftest import write_corpus
from test_score import execute

from asdstudy.runs.card import card

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p", "ignore:collapse")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("c")
    return execute(write_corpus(folder / "corpus"), folder / "runs")


def test_a_card_says_what_the_run_says(run):
    text = (run.folder / "card.md").read_text()
    assert text.startswith("# pump: a detector")
    for fact in (run.params["fingerprint"], "product IDs: 00, 01", "proposed, 0", '"epochs": 1'):
        assert fact in text
    assert f"h: GMM, p = {run.params['choice']['sizes']['GMM']}, chosen by: the profile" in text
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    header, _, *rows = rows
    table = pd.DataFrame(rows, columns=header).set_index("product")
    for area in run.metrics[run.metrics.chosen].itertuples():
        for name in ("AUC", "pAUC", "threshold", "precision", "recall", "F1"):
            assert table.loc[area.product, name] == f"{getattr(area, name):.4g}"
    assert "## Limits" in text and "no others" in text


def test_a_card_without_labels_has_no_figures(run):
    record = json.loads((run.folder / "params.json").read_text())
    text = card(record, run.candidates.iloc[:0])
    assert "No test clip has a label" in text and "| AUC" not in text
