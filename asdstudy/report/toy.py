"""The method in the plane: points for clips, a small network for f, a 2-d embedding to look at.

Batches, Mixup, losses and optimiser are those of :mod:`asdlib.training`; the page: ``hypersphere``.
"""

import copy
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from asdlib.batches import Batch
from asdlib.encoder import Encoder, start_slope
from asdlib.errors import one_of
from asdlib.losses import mixup_probability
from asdlib.metrics import auc_pauc
from asdlib.profiles import Profile
from asdlib.training import make_optimiser, mix, train_step
from asdstudy.report.figures import COLOURS

PRODUCTS = 3
SPREAD = 0.22  # standard deviation of a cluster
ANOMALY_KINDS = ("similar", "different")


def circle(radius: float, degrees) -> np.ndarray:
    """Places on a circle round the origin, ``(n, 2)``."""
    angle = np.deg2rad(np.asarray(degrees, float))
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


PRODUCT_CENTRES = circle(1.3, [90, 210, 330])
# Where the other machines' sound lies: all round the products, on top of them, or far off only.
OTHERS = {
    "around": circle(3.0, np.arange(30, 390, 60)),
    "too similar": PRODUCT_CENTRES,
    "too different": circle(9.0, [30, 150, 270]),
}


@dataclass(frozen=True)
class Points:
    """Points ``(n, 2)`` and what each is: its product number, -1 for another machine, and a kind.

    A kind is "normal", "others", or of a fault: "similar" (on the way to a sibling product ID) or
    "different" (out where other machines may be).
    """

    points: np.ndarray
    products: np.ndarray
    kinds: np.ndarray

    def of(self, kind: str, product: int | None = None) -> np.ndarray:
        """Which points are of that kind, and of that product ID if one is named: ``(n,)`` bool."""
        return (self.kinds == kind) & (True if product is None else self.products == product)


def make_points(others: str = "around", each: int = 60, seed: int = 0) -> tuple[Points, Points]:
    """Train points (product IDs, as many others) and test points (normal, two kinds of fault).

    ``others`` says where the pseudo-anomalies lie, a key of ``OTHERS``; a product ID has ``each``
    points. An anomalous point has a product ID too: that of the machine it was recorded from.
    """
    one_of("place of the others", others, OTHERS)
    rng = np.random.default_rng(seed)

    def cloud(centres: np.ndarray) -> np.ndarray:
        return centres + SPREAD * rng.standard_normal(centres.shape)

    number = np.repeat(np.arange(PRODUCTS), each)
    centre, sibling = PRODUCT_CENTRES[number], PRODUCT_CENTRES[(number + 1) % PRODUCTS]
    elsewhere = OTHERS[others][np.arange(len(number)) % len(OTHERS[others])]
    train = Points(
        np.concatenate([cloud(centre), cloud(elsewhere)]),
        np.concatenate([number, np.full(len(number), -1)]),
        np.repeat(["normal", "others"], len(number)),
    )
    test = Points(
        np.concatenate([cloud(centre), cloud(0.62 * centre + 0.38 * sibling), cloud(2.2 * centre)]),
        np.tile(number, 3),
        np.repeat(["normal", *ANOMALY_KINDS], len(number)),
    )
    return train, test


class ToyEncoder(nn.Module):
    """f from the plane ``(N, 2)`` to the embedding ``(N, 2)``, with the heads of the method."""

    heads, centre = Encoder.heads, Encoder.centre  # of Eq. 1 and 2, as they are

    def __init__(self, profile: Profile, width: int = 48):
        super().__init__()
        self.machine_input = profile.machine_input
        # tanh saturates: far from what it was trained on, the network has nothing new to say
        hidden = [nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()]
        self.net = nn.Sequential(*hidden, nn.Linear(width, 2))
        self.g_product = nn.Linear(2, PRODUCTS, bias=profile.product_bias)
        self.g_affine = nn.Linear(1, 1)
        start_slope(self.g_affine, profile.machine_slope)

    def forward(self, points: Tensor) -> Tensor:
        return self.net(points)

    def embed(self, points: np.ndarray) -> np.ndarray:
        """Embeddings ``(n, 2)`` of points ``(n, 2)``."""
        return self(torch.from_numpy(points).float()).detach().numpy()


def train_toy(
    train: Points, seed: int = 0, stages=(0, 30, 100, 600), **fields
) -> dict[int, ToyEncoder]:
    """Train f as the method does; the encoder as it was after each of ``stages`` steps, by step.

    ``fields`` are those of :class:`~asdlib.profiles.Profile`: ``product_weight=0`` leaves Eq. 2
    alone, ``machine_weight=0`` leaves Eq. 1 alone, ``mixup_alpha=0`` switches Mixup off.
    """
    profile = Profile(**{"learning_rate": 1e-2, "product_weight": 1.0, "batch_size": 64} | fields)
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    encoder, steps = ToyEncoder(profile), max(stages)
    optimiser, schedule = make_optimiser(encoder, profile, steps)
    halves = [np.flatnonzero(train.products >= 0), np.flatnonzero(train.products < 0)]
    halves = halves if profile.machine_weight else halves[:1]
    snapshots = {0: copy.deepcopy(encoder)}
    for step in range(steps):
        rows = np.concatenate([rng.choice(half, profile.target_rows) for half in halves])
        points = torch.from_numpy(train.points[rows]).float()
        batch = Batch.of(points, train.products[rows], PRODUCTS)
        likely = mixup_probability(profile.mixup_schedule, step / steps)
        if profile.mixup_alpha > 0 and rng.random() < likely:
            batch = mix(batch, profile, rng)
        centre = not step and profile.machine_start == "centred"
        train_step(encoder, batch, profile, optimiser, centre)
        schedule.step()
        if step + 1 in stages:
            snapshots[step + 1] = copy.deepcopy(encoder)
    return {step: snapshots[step] for step in stages}


def toy_auc(encoder: ToyEncoder, train: Points, test: Points, make_h) -> pd.Series:
    """AUC of each kind of anomaly, the mean over product IDs; ``make_h()`` makes an unfitted h."""
    aucs = {kind: [] for kind in ANOMALY_KINDS}
    for product in range(PRODUCTS):
        h = make_h().fit(encoder.embed(train.points[train.of("normal", product)]))
        normal = h.score(encoder.embed(test.points[test.of("normal", product)]))
        for kind, values in aucs.items():
            scores = h.score(encoder.embed(test.points[test.of(kind, product)]))
            scores = np.concatenate([normal, scores])
            values.append(auc_pauc(np.arange(len(scores)) >= len(normal), scores)[0])
    return pd.Series({kind: np.mean(values) for kind, values in aucs.items()})


KIND_COLOURS = {  # two kinds of anomaly, told apart
    "normal": COLOURS[0],
    "others": COLOURS[7],
    "similar": COLOURS[1],
    "different": COLOURS[3],
}
PRODUCT_MARKERS = "o^sDvPX*"


def draw_points(places: np.ndarray, points: Points, ax, title: str = "", only=None):
    """Scatter ``points`` at ``places`` ``(n, 2)``: colour is kind, marker product ID."""
    for kind, colour in KIND_COLOURS.items():
        for product in np.unique(points.products[points.of(kind)]):
            if only is not None and product not in (only, -1):
                continue
            ax.scatter(
                *places[points.of(kind, product)].T, color=colour, s=26, alpha=0.75,
                marker="." if product < 0 else PRODUCT_MARKERS[product], linewidth=0.3,
                edgecolor="white", zorder=3,
            )  # fmt: skip
    ax.set(title=title)
    if ax.get_aspect() == "auto":
        ax.set_aspect("equal", "datalim")
    return ax


def draw_legend(figure, kinds, products: int = 3) -> None:
    """One legend below the panels of ``figure`` for ``kinds`` of points and the product IDs."""
    names = {"normal": "target, normal", "others": "other machines"}
    names |= {kind: f"{kind} anomaly" for kind in ("similar", "different")}
    dots = [
        plt.Line2D([], [], linestyle="", marker="o", color=KIND_COLOURS[kind], label=names[kind])
        for kind in kinds
    ]
    marks = [
        plt.Line2D([], [], linestyle="", marker=PRODUCT_MARKERS[k], color="0.35", label=f"ID {k}")
        for k in range(products)
    ]
    figure.legend(handles=dots + marks, loc="outside lower center", ncols=len(dots + marks))


def draw_embedding(encoder: ToyEncoder, points: Points, ax, title: str = ""):
    """Where ``encoder`` puts ``points``; a circle has the mean length of the normal ones.

    It is the hypersphere of the plane; a cross marks the origin.
    """
    embeddings = encoder.embed(points.points)
    radius = np.linalg.norm(embeddings[points.of("normal")], axis=1).mean()
    draw_points(embeddings, points, ax, title)
    ax.add_patch(plt.Circle((0, 0), radius, fill=False, linestyle="--", color="0.35", zorder=2))
    ax.plot(0, 0, marker="+", color="black", markersize=9, zorder=4)
    return ax


def draw_plane(value, ax, extent: float, label: str = "", cmap="viridis"):
    """Filled contours of ``value(places)``, ``(n, 2)`` to ``(n,)``, over a square plane."""
    axis = np.linspace(-extent, extent, 121)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    heights = value(grid).reshape(len(axis), len(axis))
    filled = ax.contourf(axis, axis, heights, levels=12, cmap=cmap, zorder=0, extend="both")
    ax.figure.colorbar(filled, ax=ax, label=label, shrink=0.85)
    ax.set(xlim=(-extent, extent), ylim=(-extent, extent))
    ax.set_aspect("equal", "box")
    ax.grid(False)
    return ax
