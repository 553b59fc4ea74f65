"""Maps of the embedding by t-SNE, in the manner of Fig. 3, and what they show as numbers."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import seaborn as sns
from openTSNE import TSNE
from scipy.spatial.distance import cdist

from asdlib.errors import InputError
from asdstudy.report.charts import plain
from asdstudy.report.figures import LABEL_COLOURS, finish
from asdstudy.runs.run import Run

KINDS = {"others": "other machines", "normal": "normal", "anomaly": "anomalous"}
REST = "other IDs"  # of the machine type
COLOURS = {name: LABEL_COLOURS[kind] for kind, name in KINDS.items()} | {REST: "#a391cf"}
SIZES = {name: 14 if name in (KINDS["others"], REST) else 28 for name in (*KINDS.values(), REST)}
MARKERS = dict(zip([*KINDS.values(), REST], "os^X", strict=True))
SYMBOLS = dict(zip(KINDS.values(), ("circle", "square", "triangle-up"), strict=True))


def tsne(vectors: np.ndarray, perplexity: float = 30, seed: int = 0) -> np.ndarray:
    """The place of each vector ``(clips, 128)`` on a map: ``(clips, 2)``, the same for a seed."""
    if not isinstance(perplexity, int | float) or not perplexity >= 1:
        raise InputError(f"perplexity is {perplexity!r}; expected a number of at least 1")
    perplexity = min(perplexity, (len(vectors) - 1) / 3)
    options = {"initialization": "pca", "negative_gradient_method": "bh", "n_jobs": 1}
    fitted = TSNE(perplexity=perplexity, random_state=seed, **options).fit(vectors.astype(float))
    return np.asarray(fitted)


def shown_clips(run: Run) -> tuple[pd.DataFrame, np.ndarray]:
    """The labelled test clips and the clips of other machines, and their mean embeddings.

    Returns rows (machine_type, product, label, file, kind) and ``(clips, 128)``.
    """
    parts = run.embedded
    test, others = parts["test"], parts["others"]
    labels = test.clips.label.to_numpy()
    rows = pd.concat(
        [test.clips.assign(kind=labels), others.clips.assign(kind="others")], ignore_index=True
    )
    vectors = np.concatenate([part.embeddings.mean(axis=1) for part in (test, others)])
    labelled = rows.kind.isin(KINDS).to_numpy()
    return rows[labelled].reset_index(drop=True), vectors[labelled]


def map_of(run: Run, perplexity: float = 30, seed: int = 0) -> pd.DataFrame:
    """The clips of a run with their places x and y on its map, their norms and their scores."""
    rows, vectors = shown_clips(run)
    places = tsne(vectors, perplexity, seed)
    # a file name may not be unique: MIMII numbers the clips of each product ID from zero, and
    # other machines, which have no score, may use the target's names
    keys = ["product", "kind", "file"]
    scores = run.scores.rename(columns={"label": "kind"})[[*keys, "score"]].drop_duplicates(keys)
    placed = rows.assign(x=places[:, 0], y=places[:, 1], norm=np.linalg.norm(vectors, axis=1))
    return placed.merge(scores, how="left", on=keys)


def map_grid(maps: dict[tuple, pd.DataFrame], title: str):
    """Maps in columns and rows by their names; as in Fig. 3 if these are a variant and an ID.

    A row named "ID ..." has that product ID in blue and orange, and the other IDs in violet.
    """
    parts = []
    for (column, row), places in maps.items():
        kind = places.kind.map(KINDS)
        if row.startswith("ID "):
            in_colour = (places["product"] == row[3:]) | (places.kind == "others")
            kind = kind.where(in_colour, REST)
        parts.append(places.assign(row=row, column=column, kind=kind))
    table = pd.concat(parts, ignore_index=True)
    kinds = [name for name in (REST, *KINDS.values()) if (table.kind == name).any()]
    grid = sns.relplot(
        table, x="x", y="y", row="row", col="column", hue="kind", style="kind", hue_order=kinds,
        style_order=kinds, size="kind", size_order=kinds, sizes=SIZES, palette=COLOURS,
        markers=MARKERS, alpha=0.8, linewidth=0,
        height=2.1, facet_kws={"sharex": False, "sharey": False, "despine": False},
    )  # fmt: skip
    grid.set(xticks=[], yticks=[])
    return finish(grid, title, "{row_name}, {col_name}")


def hover_map(rows: pd.DataFrame, title: str) -> go.Figure:
    """The same map to hover over: which clip, which product ID, which score, which norm."""
    clips = rows.assign(kind=rows.kind.map(KINDS), **rows[["norm", "score"]].round(3))
    figure = px.scatter(
        clips, x="x", y="y", color="kind", symbol="kind", color_discrete_map=COLOURS,
        symbol_map=SYMBOLS, title=title, hover_name="file",
        hover_data={"x": False, "y": False, "kind": False}
        | dict.fromkeys(["machine_type", "product", "norm", "score"], True),
    )  # fmt: skip
    return plain(figure).update_xaxes(visible=False).update_yaxes(visible=False)


SHARE = "other machines among neighbours (%)"
SHORTER = "shorter than normal (%)"


def closeness(run: Run, neighbours: int = 10) -> pd.DataFrame:
    """How near anomalies come to other machines, in the embedding itself and not on a map.

    By product ID and label: the mean share of other machines among the nearest ``neighbours`` of
    a test clip (normal clips of its product ID and clips of other machines); the share of pairs
    with a normal clip in which its embedding is the shorter one; and the median norm.
    """
    rows, vectors = shown_clips(run)
    norm, kinds = np.linalg.norm(vectors, axis=1), rows.kind.to_numpy()
    distance = cdist(vectors, vectors)
    np.fill_diagonal(distance, np.inf)  # a clip is not its own neighbour
    lines = []
    for (product, kind), part in rows[rows.kind != "others"].groupby(["product", "kind"]):
        is_normal = (rows["product"] == product) & (rows.kind == "normal")
        reference = np.flatnonzero(is_normal | (rows.kind == "others"))
        order = distance[np.ix_(part.index, reference)].argsort(axis=1)
        nearest = kinds[reference][order[:, : min(neighbours, len(reference) - 1)]]
        share = 100 * (nearest == "others").mean()
        shorter = 100 * (norm[part.index][:, None] < norm[is_normal]).mean()
        lines.append((product, kind, share, shorter, np.median(norm[part.index])))
    return pd.DataFrame(lines, columns=["product", "kind", SHARE, SHORTER, "median norm"])


def closeness_by_label(runs: Sequence[Run]) -> pd.DataFrame:
    """:func:`closeness` of some runs and how their slope of Eq. 2 starts, means over product IDs.

    Normal and anomalous clips are beside each other.
    """
    keys = ["machine type", "variant", "slope", "kind"]
    names = [
        (run.params["machine_type"], run.params["variant"],
         run.profile.machine_slope if run.profile.machine_weight else "none")
        for run in runs
    ]  # fmt: skip
    table = pd.concat(map(closeness, runs), keys=names, names=keys[:3])
    return table.groupby(keys, sort=False).mean(numeric_only=True).unstack("kind")
