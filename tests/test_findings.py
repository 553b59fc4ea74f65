"""What came out for each claim, on tables whose answers are plain."""

import numpy as np
import pandas as pd
import pytest

from asdstudy.report import findings, results, statistics, tables
from asdstudy.report.paper import ALL, PAPER_SYSTEMS


@pytest.fixture
def two_sounds(table) -> pd.DataFrame:
    """The systems of Table III on simulated sound, and turned round on the drone's."""
    lost = {"AUC": 1 - table.AUC, "pAUC": 1 - table.pAUC}
    of_sounds = [table.assign(corpus="simulated"), table.assign(corpus="uav", **lost)]
    return pd.concat(of_sounds, ignore_index=True)


def test_a_claim_is_answered_on_each_sound(two_sounds):
    """In the fixture, proposed leads no-mixup by 10 points, and product-only by 20."""
    lines = findings.answers(two_sounds).set_index(["claim", "sound"])
    mixup = lines.loc[("Mixup helps", "simulated")]
    assert mixup.difference == pytest.approx(10, abs=2) and mixup.verdict == "helps"
    assert lines.loc[("Mixup helps", "drone")].verdict == "hurts"
    assert lines.loc[("Machine loss (Eq. 2) helps", "simulated")].difference == pytest.approx(
        20, abs=2
    )
    cells = findings.claim_table(lines.reset_index())
    assert cells.columns.tolist() == [findings.PAPER, "simulated", "drone"]
    assert cells.loc["Mixup helps", "drone"].startswith("no, the reverse:<br>-")
    assert cells.loc["Mixup helps", "simulated"].startswith("yes:<br>+")
    gain = PAPER_SYSTEMS.loc["proposed", ALL] - PAPER_SYSTEMS.loc["no-mixup", ALL]
    assert cells.loc["Mixup helps", findings.PAPER] == f"yes: {gain:+.1f}"
    assert "Better than DDCSAD" not in cells.index  # not in these runs


def test_differences_over_all_machine_types_as_a_table_by_sound(two_sounds):
    rows = results.systems(two_sounds, results.TABLE_III)
    lines = statistics.differences(rows, "proposed", ["corpus"], "mean AUC", draws=10)
    cells = findings.by_sound(lines)
    assert cells.index.tolist() == ["no-mixup", "without h", "product-only"]
    assert cells.columns.tolist() == ["simulated", "drone"]
    line = lines[(lines.corpus == "uav") & (lines.machine_type == ALL)].set_index("minus")
    expected = tables.BOUNDED.format(**line.loc["no-mixup"])
    assert cells.loc["no-mixup", "drone"] == expected


def test_the_way_to_score_is_chosen_by_the_other_ids():
    """Each ID of four has another best way; the first two agree on kNN, the last two on GMM."""
    best = {"00": "kNN", "01": "kNN", "02": "GMM", "03": "GMM"}
    aggregations = {"kNN": "mean", "GMM": "upper-half"}
    rows = [
        {"corpus": corpus, "machine_type": "fan", "variant": "proposed", "seed": 0, "product": k}
        | {"role": "test", "inlier": h, "size": p, "aggregation": aggregations[h]}
        | {"AUC": 0.8 - 0.1 * p + 0.1 * (best[k] == h)}
        for corpus in ("mimii-mini", "uav")
        for k in best
        for h in aggregations
        for p in (1, 2)
    ]
    table = pd.DataFrame(rows)
    ways = findings.ways(table.assign(pAUC=table.AUC))
    chosen = ways[ways.system == "chosen from all"].set_index(["corpus", "product"])
    assert chosen.loc["mimii-mini"].inlier.to_dict() == dict.fromkeys(
        ["00", "01"], "GMM, upper-half"
    ) | dict.fromkeys(["02", "03"], "kNN, mean")
    assert chosen.loc["uav"].inlier.to_dict() == dict.fromkeys(["02", "03"], "kNN, mean")
    papers = ways[ways.system == "chosen from the paper's"]
    assert set(papers.inlier) == {"GMM, upper-half"}
    assert np.all(ways["size"] == 1) and ways[ways.system == "kNN, mean"].AUC.max() == 0.8
