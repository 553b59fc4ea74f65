"""Scoring: h per product ID, and the choice of h and p on the validation IDs."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_inliers import FITTED

from asdlib import InputError, metrics, scoring
from asdlib.inliers import GMM
from asdlib.profiles import Profile
from asdstudy.runs.evaluation import metrics_by_product


def embedded(products, label="normal", shift=0.0, clips=8, segments=4, seed=0):
    """Clips of each product ID around its own centre; anomalies ``shift`` away from it."""
    rng = np.random.default_rng(seed)
    names = np.repeat([f"{k:02d}" for k in range(products)], clips)
    centres = 10 * np.eye(3)[np.repeat(np.arange(products), clips)]
    vectors = centres[:, None] + rng.normal(size=(len(names), segments, 3))
    vectors[:, :, 0] += shift
    frame = pd.DataFrame({"product": names, "label": label, "domain": "source", "attributes": ""})
    frame["frames"] = 16_000 * segments
    frame["path"] = [Path(f"c/pump/test/{label}_{k}.wav") for k in range(len(frame))]
    logits = vectors / 10
    return scoring.Embedded(frame, vectors.astype(np.float32), logits.astype(np.float32))


def joined(*parts):
    return scoring.Embedded(
        pd.concat([p.clips for p in parts], ignore_index=True),
        np.concatenate([p.embeddings for p in parts]),
        np.concatenate([p.logits for p in parts]),
    )


PROFILE = Profile(pretrained=False, inlier_sizes=(1, 2), segments=4)


def test_scores_rise_with_the_distance_and_use_the_own_product():
    test = joined(embedded(2, seed=1), embedded(2, "anomaly", shift=6, seed=2))
    scores, choice = scoring.score_clips(embedded(2), test, ("00", "01"), PROFILE)
    table = metrics_by_product(scores, choice)
    assert (table[table.chosen].AUC == 1).all()
    assert choice["inlier"] in ("GMM", "LOF") and choice["chosen_by"] == "validation IDs"
    assert set(table.inlier) == {*FITTED, "none"}
    assert scores.role.value_counts().to_dict() == {"validation": 16, "test": 16}


def test_the_metrics_have_every_candidate_and_mark_the_best_p_and_the_chosen_h():
    test = joined(embedded(2, seed=1), embedded(2, "anomaly", shift=1, seed=2))
    scores, choice = scoring.score_clips(embedded(2), test, ("00", "01"), PROFILE)
    table = metrics_by_product(scores, choice)
    tried = [("GMM", 1), ("GMM", 2), ("LOF", 1), ("LOF", 2), ("kNN", 1), ("kNN", 2)]
    tried += [("Mahalanobis", 0), ("none", 0)]
    assert list(table.groupby(["inlier", "size"], sort=False).groups) == tried
    assert (table.groupby(["inlier", "size"]).size() == 2).all()  # product IDs
    for (inlier, size), rows in table.groupby(["inlier", "size"]):
        own = metrics.table(scores, f"{inlier} {size}")
        assert rows[["AUC", "pAUC"]].to_numpy().tolist() == own[["AUC", "pAUC"]].values.tolist()
        assert (rows.best == (size == choice["sizes"][inlier])).all()
        assert (rows.chosen == (rows.best & (inlier == choice["inlier"]))).all()
        # the p of each h, and the h, are those of the highest mean on the validation IDs
        (reached,) = (
            c["validation"]
            for c in choice["candidates"]
            if (c["inlier"], c["size"]) == (inlier, size)
        )
        validation = rows[rows.role == "validation"][["AUC", "pAUC"]]
        assert reached == metrics.harmonic_mean(validation)
    chosen = choice["sizes"][choice["inlier"]]
    assert scores.score.equals(scores[f"{choice['inlier']} {chosen}"])


def test_test_ids_never_choose():
    """Whatever the scores of the test IDs, the choice stays the same."""
    choices = []
    for shift in (-30, 0.5, 30):
        first = joined(embedded(1, seed=1), embedded(1, "anomaly", shift=2, seed=2))
        rest = joined(embedded(2, seed=3), embedded(2, "anomaly", shift=shift, seed=4))
        keep = rest.of_product("01")
        rest = scoring.Embedded(rest.clips[keep], rest.embeddings[keep], rest.logits[keep])
        _, choice = scoring.score_clips(embedded(2), joined(first, rest), ("00", "01"), PROFILE)
        choices.append((choice["inlier"], choice["sizes"], choice["candidates"]))
    assert choices[0] == choices[1] == choices[2]


def test_unlabelled_clips_are_scored_without_metrics():
    test = embedded(2, "unknown", seed=1)
    scores, choice = scoring.score_clips(embedded(2), test, ("00", "01"), PROFILE)
    table = metrics_by_product(scores, choice)
    assert scores.score.notna().all() and table.empty
    assert choice["chosen_by"].startswith("default")


def failing(*sizes):
    """A GMM whose fit fails for some p, as scikit-learn's does of an ill-conditioned covariance."""

    class Failing(GMM):
        def fit(self, embeddings):
            if self.mixture.n_components in sizes:
                raise ValueError("Fitting the mixture model failed: ill-defined covariance")
            return super().fit(embeddings)

    return Failing


def test_a_candidate_that_cannot_be_fitted_is_left_out(monkeypatch):
    test = joined(embedded(2, seed=1), embedded(2, "anomaly", shift=6, seed=2))
    products = ("00", "01")
    monkeypatch.setattr("asdlib.inliers.GMM", failing(2))
    with pytest.warns(UserWarning, match="GMM with p = 2 left out: Fitting the mixture"):
        _, choice = scoring.score_clips(embedded(2), test, products, PROFILE)
    tried = [(c["inlier"], c["size"]) for c in choice["candidates"]]
    assert ("GMM", 1) in tried and ("GMM", 2) not in tried
    monkeypatch.setattr("asdlib.inliers.GMM", failing(1, 2))
    with pytest.warns(UserWarning, match="left out"):
        scores, choice = scoring.score_clips(embedded(2), test, products, PROFILE)
    table = metrics_by_product(scores, choice)
    assert choice["inlier"] == "LOF" and "GMM" not in set(table.inlier)
    assert not [column for column in scores if column.startswith("GMM")]
    only = PROFILE.replace(inliers=("GMM", "kNN"))
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(InputError, match="GMM: no p of"),
    ):
        scoring.score_clips(embedded(2), test, products, only)
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(InputError, match="GMM: no p of .* can be fitted.*covariance_floor"),
    ):
        scoring.score_clips(embedded(2), test, products, PROFILE.replace(inlier="GMM"))


def test_auto_chooses_from_the_papers_two():
    with pytest.raises(InputError, match="inlier is auto and inliers are kNN; expected GMM or LOF"):
        Profile(inliers=("kNN",))
    profile = PROFILE.replace(inliers=("kNN", "LOF"))
    unlabelled = embedded(2, "unknown", seed=1)
    _, choice = scoring.score_clips(embedded(2), unlabelled, ("00", "01"), profile)
    assert choice["inlier"] == "LOF"
    assert Profile(inlier="kNN", inliers=["kNN"]).inlier == "kNN"


def test_without_h_needs_the_product_loss():
    for fields in ({"inlier": "none"}, {"inlier": "none", "inliers": ["none"]}):
        with pytest.raises(InputError, match="inlier is none and product_weight is 0"):
            Profile(product_weight=0.0, **fields)
