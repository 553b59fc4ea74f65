"""The method in the plane, for the page ``hypersphere``: clips are points, and f a small network.

Batches, Mixup, losses and optimiser are those of :mod:`asdlib.training`.
"""

import copy
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor, nn

from asdlib.batches import Batch
from asdlib.encoder import Encoder, start_slope
from asdlib.errors import one_of
from asdlib.losses import mixup_probability
from asdlib.metrics import auc_pauc
from asdlib.profiles import Profile
from asdlib.training import make_optimiser, mix, train_step
from asdstudy.report.figures import COLOURS, finish

PRODUCTS = 3
SPREAD = 0.22  # standard deviation of a cluster
XY = ["x", "y"]
ANOMALY_KINDS = ("similar", "different")


def circle(radius: float, degrees) -> np.ndarray:
    """Points ``(n, 2)`` on a circle around the origin."""
    angle = np.deg2rad(np.asarray(degrees, float))
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


PRODUCT_CENTRES = circle(1.3, [90, 210, 330])
# where the other machines are: all around the products, on top of them, or far away
OTHERS = {
    "around": circle(3.0, np.arange(30, 390, 60)),
    "too similar": PRODUCT_CENTRES,
    "too different": circle(9.0, [30, 150, 270]),
}


def make_points(
    others: str = "around", each: int = 60, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train points and test points: x and y, product (-1 for another machine) and kind.

    Train points are "normal" or "others", which lie where ``others``, a key of ``OTHERS``, says.
    Test points are normal, or anomalies of two kinds: "similar" lie on the way to another product
    ID, "different" further out. Every product ID has ``each`` points of a kind.
    """
    one_of("place of the others", others, OTHERS)
    rng = np.random.default_rng(seed)
    number = np.repeat(np.arange(PRODUCTS), each)
    centre, sibling = PRODUCT_CENTRES[number], PRODUCT_CENTRES[(number + 1) % PRODUCTS]
    elsewhere = OTHERS[others][np.arange(len(number)) % len(OTHERS[others])]

    def cloud(kind: str, centres: np.ndarray, product=number) -> pd.DataFrame:
        x, y = (centres + SPREAD * rng.standard_normal(centres.shape)).T
        return pd.DataFrame({"x": x, "y": y, "product": product, "kind": kind})

    train = [cloud("normal", centre), cloud("others", elsewhere, -1)]
    test = [cloud("normal", centre), cloud("similar", 0.62 * centre + 0.38 * sibling)]
    test.append(cloud("different", 2.2 * centre))
    return pd.concat(train, ignore_index=True), pd.concat(test, ignore_index=True)


class ToyEncoder(nn.Module):
    """f from the plane ``(N, 2)`` to the embedding ``(N, 2)``, with the heads of the method."""

    heads, centre = Encoder.heads, Encoder.centre  # the method's own

    def __init__(self, profile: Profile, width: int = 48):
        super().__init__()
        self.machine_input = profile.machine_input
        # tanh saturates, so the embedding hardly changes far from the train points
        hidden = [nn.Linear(2, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh()]
        self.net = nn.Sequential(*hidden, nn.Linear(width, 2))
        self.g_product = nn.Linear(2, PRODUCTS, bias=profile.product_bias)
        self.g_affine = nn.Linear(1, 1)
        start_slope(self.g_affine, profile.machine_slope)

    def forward(self, points: Tensor) -> Tensor:
        return self.net(points)

    def embed(self, points: pd.DataFrame) -> np.ndarray:
        """Embeddings ``(n, 2)`` of points."""
        return self(torch.tensor(points[XY].to_numpy()).float()).detach().numpy()


def train_toy(
    train: pd.DataFrame, seed: int = 0, stages=(0, 30, 100, 600), **fields
) -> dict[int, ToyEncoder]:
    """Train f as the method does; returns the encoder after each of ``stages`` steps, by step.

    ``fields`` are those of :class:`~asdlib.profiles.Profile`: ``product_weight=0`` leaves only
    Eq. 2, ``machine_weight=0`` leaves only Eq. 1, ``mixup_alpha=0`` switches Mixup off.
    """
    profile = Profile(**{"learning_rate": 1e-2, "product_weight": 1.0, "batch_size": 64} | fields)
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    encoder, steps = ToyEncoder(profile), max(stages)
    optimiser, schedule = make_optimiser(encoder, profile, steps)
    places, products = train[XY].to_numpy(), train["product"].to_numpy()
    halves = [np.flatnonzero(products >= 0), np.flatnonzero(products < 0)]
    halves = halves if profile.machine_weight else halves[:1]
    snapshots = {0: copy.deepcopy(encoder)}
    for step in range(steps):
        rows = np.concatenate([rng.choice(half, profile.target_rows) for half in halves])
        points = torch.from_numpy(places[rows]).float()
        batch = Batch.of(points, products[rows], PRODUCTS)
        likely = mixup_probability(profile.mixup_schedule, step / steps)
        if profile.mixup_alpha > 0 and rng.random() < likely:
            batch = mix(batch, profile, rng)
        centre = not step and profile.machine_start == "centred"
        train_step(encoder, batch, profile, optimiser, centre)
        schedule.step()
        if step + 1 in stages:
            snapshots[step + 1] = copy.deepcopy(encoder)
    return {step: snapshots[step] for step in stages}


def toy_auc(
    encoder: ToyEncoder, train: pd.DataFrame, test: pd.DataFrame, make_h: Callable
) -> pd.Series:
    """AUC of each kind of anomaly, the mean over product IDs; ``make_h()`` makes an unfitted h."""
    aucs = []
    for product in range(PRODUCTS):
        normal = train[(train["product"] == product) & (train.kind == "normal")]
        tested = test[test["product"] == product]
        h = make_h().fit(encoder.embed(normal))
        scores = pd.Series(h.score(encoder.embed(tested)), tested.kind)
        pairs = {kind: scores[["normal", kind]] for kind in ANOMALY_KINDS}
        aucs.append({kind: auc_pauc(part.index == kind, part)[0] for kind, part in pairs.items()})
    return pd.DataFrame(aucs).mean()


KIND_COLOURS = {
    "normal": COLOURS[0],
    "others": COLOURS[7],
    "similar": COLOURS[2],  # in dark mode, the palette's orange is close to the next one
    "different": COLOURS[3],
}


def draw_points(panels: dict[str, pd.DataFrame]) -> sns.FacetGrid:
    """Points in panels by name: a colour for each kind, a marker for each product ID."""
    table = pd.concat(panels, names=["panel"]).reset_index("panel")
    grid = sns.relplot(
        table, x="x", y="y", col="panel", col_wrap=2, hue="kind", style="product", s=16,
        palette=KIND_COLOURS, markers={0: "o", 1: "^", 2: "s", -1: "X"}, alpha=0.75, height=2.3,
        legend=False, facet_kws={"sharex": False, "sharey": False},
    )  # fmt: skip
    colours = {kind: colour for kind, colour in KIND_COLOURS.items() if kind in {*table.kind}}
    grid.add_legend({kind: Patch(color=colour) for kind, colour in colours.items()})
    for ax in grid.axes.flat:
        ax.set_aspect("equal", "datalim")
    finish(grid)
    return grid


def placed(encoder: ToyEncoder, points: pd.DataFrame) -> pd.DataFrame:
    """The points where the encoder puts them: x and y are those of the embedding."""
    return points.assign(**dict(zip(XY, encoder.embed(points).T, strict=True)))


def draw_embeddings(encoders: dict[str, ToyEncoder], points: pd.DataFrame) -> None:
    """Where each encoder puts the points; the circle has the mean length of the normal ones.

    It is the hypersphere of the plane; a cross marks the origin.
    """
    panels = {name: placed(encoder, points) for name, encoder in encoders.items()}
    for name, ax in draw_points(panels).axes_dict.items():
        radius = np.hypot(panels[name].x, panels[name].y)[points.kind == "normal"].mean()
        ax.add_patch(plt.Circle((0, 0), radius, fill=False, linestyle="--", color="0.35"))
        ax.plot(0, 0, marker="+", color="black", markersize=9)


def draw_planes(
    heights: dict[str, Callable], points: pd.DataFrame, label: str, extent: float
) -> None:
    """The points on filled contours of a height in each panel, a function of points."""
    axis = np.linspace(-extent, extent, 121)
    plane = pd.DataFrame(np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2), columns=XY)
    grid = draw_points(dict.fromkeys(heights, points))
    grid.figure.set_figheight(1.4 * grid.figure.get_figheight())  # for the colour bars
    grid.figure.get_layout_engine().set(h_pad=0.12)  # their labels are not titles of what is below
    for name, ax in grid.axes_dict.items():
        height = heights[name](plane).reshape(len(axis), len(axis))
        filled = ax.contourf(axis, axis, height, levels=12, cmap="Greys", zorder=0, extend="both")
        low, high = filled.levels[[0, -1]]
        # a tick beyond the levels would be drawn at the end of the bar
        ticks = [tick for tick in MaxNLocator(3).tick_values(low, high) if low <= tick <= high]
        grid.figure.colorbar(filled, ax=ax, label=label, location="bottom", ticks=ticks)
        ax.set(xlim=(-extent, extent), ylim=(-extent, extent))
        ax.set_aspect("equal", "box")
        ax.grid(False)


def length_of(encoder: ToyEncoder) -> Callable:
    """The length of the embedding, as a height for :func:`draw_planes`."""
    return lambda points: np.linalg.norm(encoder.embed(points), axis=1)


def landscape_of(h, normal: pd.DataFrame) -> Callable:
    """The score of ``h``, fitted on normal points, as such a height: its logarithm over theirs."""
    lowest = h.fit(normal[XY].to_numpy()).score(normal[XY].to_numpy()).min()
    return lambda points: np.log1p(h.score(points[XY].to_numpy()) - lowest)
