"""Metrics against numbers worked out by hand and the official scores of the DCASE 2021 baseline."""

import numpy as np
import pandas as pd
import pytest

from asdlib import metrics
from asdstudy.official import read_submission, write_submission
from asdstudy.runs.evaluation import detection


def test_auc_and_pauc_by_hand():
    # 10 normal clips, 2 anomalies: one above all normals, one above 5 of 10.
    anomalous = np.array([0] * 10 + [1, 1])
    scores = np.array([*range(10), 20, 4.5])
    auc, pauc = metrics.auc_pauc(anomalous, scores)
    assert auc == pytest.approx((10 + 5) / 20)
    # Up to a false positive rate of 0.1 the true positive rate is 1/2: area 0.05. McClish:
    # (1 + (area - min) / (max - min)) / 2 with min = 0.1^2 / 2 and max = 0.1.
    assert pauc == pytest.approx((1 + (0.05 - 0.005) / (0.1 - 0.005)) / 2)


def test_one_label_has_no_auc():
    assert np.isnan(metrics.auc_pauc(np.zeros(3), np.arange(3))).all()


def test_harmonic_mean_by_hand():
    assert metrics.harmonic_mean([[0.5, 1.0]]) == pytest.approx(2 / 3)


def test_a_product_id_of_one_label_has_no_part_in_the_harmonic_mean():
    nan = float("nan")
    assert metrics.harmonic_mean([[0.5, 1.0], [nan, nan]]) == pytest.approx(2 / 3)
    assert metrics.harmonic_mean([[0.5, 1.0], [0.9, nan]]) == pytest.approx(2 / 3)  # both or none
    assert np.isnan(metrics.harmonic_mean([[nan, nan]])) and np.isnan(metrics.harmonic_mean([]))
    assert metrics.harmonic_mean([[0.0, 0.5]]) == 0


def test_the_auc_of_a_domain_is_over_its_normal_clips_and_all_anomalous_ones():
    scores = pd.DataFrame(
        {
            "product": "00",
            "label": ["normal", "normal", "normal", "anomaly", "anomaly"],
            "domain": ["source", "source", "target", "source", "target"],
            "score": [1, 3, 5, 4, 2],
        }
    )
    (row,) = metrics.table(scores).to_dict("records")
    assert (row["AUC source"], row["AUC target"]) == (3 / 4, 0)
    assert row["AUC"] == pytest.approx(3 / 6)
    for domain in ("source", "target"):
        assert "AUC source" not in metrics.table(scores[scores.domain == domain])


def test_submission_round_trip(tmp_path):
    scores = pd.DataFrame(
        {
            "file": ["section_00_source_test_normal_0000.wav", "section_01_source_test_0007.wav"],
            "product": ["00", "01"],
            "domain": "source",
            "score": [1.5, -2.25],
        }
    )
    names = [path.name for path in write_submission(scores, "fan", tmp_path)]
    assert names == [f"anomaly_score_fan_section_0{k}_source_test.csv" for k in (0, 1)]
    read = pd.concat(read_submission(tmp_path / name) for name in names)
    assert read.score.tolist() == [1.5, -2.25]
    assert read.label.tolist() == ["normal", "unknown"]
    (tmp_path / "2020.csv").write_text("anomaly_id_00_00000001.wav,2\nid_00_00000000.wav,1\n")
    assert read_submission(tmp_path / "2020.csv").label.tolist() == ["anomaly", "unknown"]
    mixed = scores.assign(domain="unknown")  # an evaluation set from 2022 on
    names = [path.name for path in write_submission(mixed, "fan", tmp_path)]
    assert names == [f"anomaly_score_fan_section_0{k}_test.csv" for k in (0, 1)]


def test_precision_recall_and_f1_by_hand():
    """Above 2 are two of three anomalous clips, and one of three normal ones; 2 is not above."""
    scores = pd.DataFrame(
        {
            "product": "00",
            "label": ["normal", "normal", "normal", "anomaly", "anomaly", "anomaly", "unknown"],
            "score": [1, 2, 3, 2, 3, 4, 9],
        }
    )
    (row,) = detection(scores, {"00": 2.0}).to_dict("records")
    assert row == pytest.approx(
        {"product": "00", "threshold": 2, "precision": 2 / 3, "recall": 2 / 3, "F1": 2 / 3}
    )
    (row,) = detection(scores, {"00": None}).to_dict("records")
    assert np.isnan(row["F1"])
    (row,) = detection(scores, {"00": 99.0}).to_dict("records")
    assert row["precision"] == row["F1"] == 0


def test_validation_ids_are_the_first_half():
    assert metrics.validation_products(["05", "04", "03", "02", "01", "00"]) == ("00", "01", "02")
    assert metrics.validation_products(["00"]) == ()
