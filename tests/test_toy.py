"""The toy of the page ``hypersphere``: the shape that Eq. 2 gives an embedding."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from asdlib import InputError
from asdlib.inliers import GMM
from asdstudy.report import toy
from asdstudy.report.toy import ANOMALY_KINDS, PRODUCTS, make_points, toy_auc, train_toy

STEPS = (0, 250)


@pytest.fixture(autouse=True)
def one_thread():
    """A network this small loses time when it is shared among threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def norms(encoder, train):
    """Mean norm of the target's embeddings, and of the others'."""
    length = pd.Series(toy.length_of(encoder)(train)).groupby(train.kind).mean()
    return length["normal"], length["others"]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("product_weight", [0.0, 1.0])
def test_others_fall_to_the_centre(seed, product_weight):
    train, _ = make_points(each=40)
    encoder = train_toy(train, seed, STEPS, product_weight=product_weight)[STEPS[-1]]
    target, others = norms(encoder, train)
    assert others < 0.3 * target


def test_a_negative_slope_turns_the_hypersphere_inside_out():
    train, _ = make_points(each=40)
    encoder = train_toy(train, 0, STEPS, machine_slope="negative", product_weight=0.0)[STEPS[-1]]
    target, others = norms(encoder, train)
    assert target < 0.3 * others


def test_same_seed_same_embedding():
    train, _ = make_points(each=20)
    first, again, other = (train_toy(train, seed, (0, 20))[20] for seed in (3, 3, 4))
    assert np.array_equal(first.embed(train), again.embed(train))
    assert not np.allclose(first.embed(train), other.embed(train))


def test_points_and_their_scores():
    train, test = make_points(each=20, seed=5)
    assert len(train) == 2 * 20 * PRODUCTS
    assert len(test.query("kind == 'similar' and product == 1")) == 20
    encoder = train_toy(train, 0, STEPS)[STEPS[-1]]
    aucs = toy_auc(encoder, train, test, lambda: GMM(1))
    assert list(aucs.index) == list(ANOMALY_KINDS)
    assert (aucs > 0.7).all()


def test_unknown_place_of_the_others():
    with pytest.raises(InputError, match="too similar"):
        make_points("nowhere")


def test_panels_of_embeddings_and_planes():
    """A panel for each encoder, with the circle at the mean length of the normal points."""
    train, _ = make_points(each=10)
    encoders = {f"{step} steps": encoder for step, encoder in train_toy(train, 0, (0, 2)).items()}
    toy.draw_embeddings(encoders, train)
    first = plt.gcf().axes[0]
    target, _ = norms(encoders["0 steps"], train)
    assert first.get_title() == "0 steps" and first.patches[0].radius == pytest.approx(target)
    toy.draw_planes({"f": toy.length_of(encoders["2 steps"])}, train, "length", extent=3)
    assert [ax.get_xlabel() for ax in plt.gcf().axes] == ["", "length"]
    bar = plt.gcf().axes[1]
    low, high = bar.get_xlim()  # beyond the levels, a tick would be drawn at the end of the bar
    assert len(bar.get_xticks()) > 1 and all(low <= tick <= high for tick in bar.get_xticks())
    (legend,) = plt.gcf().legends
    assert [text.get_text() for text in legend.get_texts()] == ["normal", "others"]
    plt.close("all")
