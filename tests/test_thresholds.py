"""Thresholds: from normal clips alone, which h was not fitted on; and the decisions by them."""

import json

import numpy as np
import pytest
from scipy import stats
from test_scoring import PROFILE, embedded

from asdlib.scoring import segment_scores
from asdstudy.runs import thresholds
from asdstudy.runs.thresholds import empirical_threshold, gamma_threshold


def test_the_gamma_quantile_is_that_of_the_distribution():
    scores = stats.gamma(3, loc=-2, scale=0.5).rvs(5000, random_state=0)
    assert (scores > gamma_threshold(scores)).mean() == pytest.approx(0.1, abs=0.02)
    assert gamma_threshold(scores) == stats.gamma(*stats.gamma.fit(scores)).ppf(0.9)
    assert gamma_threshold(scores, 0.5) < gamma_threshold(scores, 0.9)
    assert gamma_threshold(np.full(4, 2.5)) == 2.5


def test_the_gamma_threshold_needs_a_few_dozen_clips():
    """As the chapter on use says: from six scores it may be below the median, not from 24."""
    rng, below = np.random.default_rng(1), {6: 0, 24: 0}
    for clips in below:
        for _ in range(60):
            scores = rng.normal(1.2, 0.2, clips)
            below[clips] += gamma_threshold(np.sort(scores)) < np.median(scores)
    assert below[6] > 0 and below[24] == 0


def test_the_empirical_threshold_by_hand():
    """A tenth score exceeds the largest of 9 with a probability of 1 in 10."""
    scores = np.array([3, 1, 2, 9, 8, 7, 4, 6, 5.0])
    assert [empirical_threshold(scores, rate) for rate in (0.1, 0.2, 0.5)] == [9, 8, 5]
    assert empirical_threshold(scores, 0.15) == 9  # at most that share
    assert empirical_threshold(scores, 0.001) == 9  # all that they can guarantee
    assert empirical_threshold(scores, 0.999) == 1


def test_the_false_alarms_of_new_clips_are_at_most_what_was_wanted():
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(2000):
        threshold = empirical_threshold(rng.normal(size=50), 0.1)
        rates.append(stats.norm.sf(threshold))
    assert 0.085 < np.mean(rates) <= 0.1


def of_parts(clips=10, segments=4, train=7, seed=0):
    one = embedded(2, clips=clips, segments=segments, seed=seed)
    part = ["train" if row % clips < train else "validation" for row in range(2 * clips)]
    one.clips["part"], one.clips["event"] = part, ""
    return one


PRODUCTS = ("00", "01")


def test_h_is_not_fitted_on_the_clips_it_scores():
    """kNN of one neighbour: the score of a clip that it was fitted on would be 0."""
    everything = of_parts()
    for part, count in (("validation", 7), ("train", 10)):
        profile = PROFILE.replace(inlier_part=part)
        scores, how = thresholds.unheard_scores(everything, "kNN", 1, PRODUCTS, profile)
        assert {name: len(values) for name, values in scores.items()} == dict.fromkeys(
            PRODUCTS, count
        )
        assert all((values > 0).all() for values in scores.values())
        assert ("validation part" in how) == (part == "validation") and "trained on most" in how
    fit = everything.of_parts("validation")
    by_hand = segment_scores("kNN", 1, fit, everything.of_parts("train"), PRODUCTS, PROFILE)
    profile = PROFILE.replace(inlier_part="validation")
    scores, _ = thresholds.unheard_scores(everything, "kNN", 1, PRODUCTS, profile)
    by_hand = by_hand.mean(axis=1)
    np.testing.assert_array_equal(np.sort(np.concatenate([*scores.values()])), np.sort(by_hand))


def test_the_clips_of_an_event_are_left_out_together():
    """Each clip has a twin in its event: only without the twin is the nearest neighbour far."""
    everything = of_parts(clips=10)
    everything.embeddings[1::2] = everything.embeddings[::2]
    profile = PROFILE.replace(inlier_part="train")
    heard, _ = thresholds.unheard_scores(everything, "kNN", 1, PRODUCTS, profile)
    everything.clips["event"] = [f"{row // 2}" for row in range(len(everything.clips))]
    unheard, _ = thresholds.unheard_scores(everything, "kNN", 1, PRODUCTS, profile)
    for product in PRODUCTS:
        assert np.median(heard[product]) == 0 and (unheard[product] > 0).all()


def test_a_score_that_needs_no_h_is_taken_as_it_is():
    everything = of_parts()
    scores, how = thresholds.unheard_scores(everything, "none", 0, PRODUCTS, PROFILE)
    assert len(scores["00"]) == 10 and "no h is fitted" in how


def test_too_few_clips_have_no_threshold():
    """One event cannot be left out, and half of two clips are too few for 8 neighbours."""
    profile = PROFILE.replace(inlier_part="train", segments=4)
    few = of_parts(clips=2)
    kept = thresholds.calibrated(few, "LOF", 4, PRODUCTS, profile)
    assert kept["products"]["00"] == {"gamma": None, "empirical": None, "scores": []}
    one = of_parts()
    one.clips["event"] = "the same"
    assert (
        thresholds.calibrated(one, "kNN", 1, PRODUCTS, profile)["products"]["01"]["gamma"] is None
    )


def test_what_a_run_keeps_is_plain_and_makes_the_same_thresholds():
    profile = PROFILE.replace(inlier_part="train")
    kept = thresholds.calibrated(of_parts(), "GMM", 1, PRODUCTS, profile)
    again = json.loads(json.dumps(kept))
    assert again == kept and kept["false_alarms"] == 0.1
    for one in again["products"].values():
        assert gamma_threshold(np.array(one["scores"])) == one["gamma"]
        assert empirical_threshold(np.array(one["scores"]), 0.1) == one["empirical"]
