"""More ways to score a run, against hand-worked numbers and the run's own metrics."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from test_scoring import PROFILE, embedded, joined
from test_training import SMALL

from asdlib.inliers import INLIERS
from asdstudy.runs import stages as runs
from workflow import rescoring
from workflow.rescoring import METHODS, LocalDensity, rescored


def scores(method: str, p: int, fit, test) -> list[float]:
    """What a method says of the vectors ``test`` after ``fit``."""
    fit, test = np.array(fit, float), np.array(test, float)[:, None]
    return rescoring.segment_scores(method, p, fit, test, PROFILE, seed=0).ravel().tolist()


def test_local_density_by_hand():
    """On a line: 0, 1 and 2, one apart, and 10, which is 8 from its nearest."""
    line = np.array([[0.0], [1.0], [2.0], [10.0]])
    model = LocalDensity(1).fit(line)
    assert model.spacings.tolist() == [1, 1, 1, 8]
    assert model.score(np.array([[3.0], [6.0], [14.0]])).tolist() == [7 / 8, 4 / 8, 4 / 8]
    # of the two nearest: (1 + 2) / 2, 1, (1 + 2) / 2 and (8 + 9) / 2
    assert LocalDensity(2).fit(line).score(np.array([[1.5]])).tolist() == [1 / 3]


def test_cosine_knn_ignores_the_length():
    """Chords of unit vectors: that of 45 degrees; half of a diameter and a right angle's."""
    fit = [[2, 0], [0, 3]]
    one = scores("cosine kNN", 1, fit, [[5, 0], [1, 1]])
    assert one == pytest.approx([0, np.sqrt(2 - np.sqrt(2))], abs=1e-12)
    assert scores("cosine kNN", 2, fit, [[-7, 0]]) == pytest.approx([(2 + np.sqrt(2)) / 2])


def test_norm_by_hand():
    """Norms of 1 and 3 have mean 2 and variance 1: a Gaussian, but for the floor of 1e-6."""
    fit, test = [[1, 0], [0, 3]], [[3, 4], [0, -2]]
    expected = np.array([3**2, 0]) / 2 + np.log(2 * np.pi) / 2
    assert scores("GMM of the norm", 1, fit, test) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("others, expected", [(0.1, 1.0), (10.0, 0.0)])
def test_the_norm_is_anomalous_on_the_side_of_the_other_machines(others, expected):
    """Anomalies half as long as normal clips: among shorter others they stand out."""
    fit, normal, anomalies = embedded(2), embedded(2, seed=1), embedded(2, "anomaly", seed=1)
    anomalies = replace(anomalies, embeddings=anomalies.embeddings / 2)
    parts = {"fit": fit, "test": joined(normal, anomalies)}
    parts["others"] = replace(fit, embeddings=fit.embeddings * others)
    params = {"products": ["00", "01"], "seed": 0}
    params |= dict.fromkeys(("corpus", "machine_type", "variant"), "x")
    table = rescored(SimpleNamespace(embedded=parts, profile=PROFILE, params=params))
    assert table[table.inlier == "norm"].AUC.tolist() == pytest.approx([expected] * 8, abs=0.2)
    assert table.groupby("product").role.unique().str.join("").to_dict() == {
        "00": "validation", "01": "test",
    }  # fmt: skip
    sizes = table.groupby("inlier")["size"].unique().map(list)
    assert set(sizes.index) == {*METHODS, "none", "output", "norm"}
    assert sizes["local density"] == [1, 2] and sizes["none"] == [0]


@pytest.mark.filterwarnings("ignore:a GMM with p")
def test_the_methods_of_a_run_give_its_own_metrics(corpus, tmp_path):
    run = runs.execute(
        "noise", "pump", data_dir=corpus, out_dir=tmp_path, progress=False,
        **SMALL | {"epochs": 1},
    )  # fmt: skip
    own = run.candidates.set_index(["inlier", "size", "product"])[["AUC", "pAUC"]]
    table = rescoring.table([run], workers=1)
    papers = table.inlier.map(lambda name: INLIERS[name].aggregation if name in INLIERS else "")
    table = table[table.aggregation == papers].set_index(own.index.names)
    table = table[["AUC", "pAUC"]].loc[own.index]
    assert len(own) == (3 * 2 + 2) * 2
    np.testing.assert_allclose(table, own, atol=1e-12)
