"""Maps of the embedding in the plane, in the manner of Fig. 3: t-SNE, still and to hover over."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from openTSNE import TSNE
from scipy.spatial.distance import cdist

from asdstudy.report.figures import LABEL_COLOURS, headed
from asdstudy.runs.run import Run

KINDS = {"others": "other machines", "normal": "normal", "anomaly": "anomalous"}
MARKERS = {"others": ("o", "circle"), "normal": ("s", "square"), "anomaly": ("^", "triangle-up")}
REST = "0.88"  # the other product IDs of the machine type


def tsne(vectors: np.ndarray, perplexity: float = 30, seed: int = 0) -> np.ndarray:
    """The place of each vector ``(clips, 128)`` on a map: ``(clips, 2)``, the same for a seed."""
    perplexity = min(perplexity, (len(vectors) - 1) / 3)
    return np.asarray(
        TSNE(
            perplexity=perplexity,
            initialization="pca",
            random_state=seed,
            n_jobs=1,
            negative_gradient_method="bh",
        ).fit(vectors.astype(np.float64))
    )


def shown_clips(run: Run) -> tuple[pd.DataFrame, np.ndarray]:
    """What a map shows: the test clips and clips of other machines, a mean embedding each.

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
    """The clips of a run with their place ``x, y`` on its map, their norm and their score."""
    rows, vectors = shown_clips(run)
    places = tsne(vectors, perplexity, seed)
    # a name alone may stand for several clips: MIMII numbers each product ID's from zero, and
    # other machines, which have no score, may have names of the target's
    keys = ["product", "kind", "file"]
    scores = run.scores.rename(columns={"label": "kind"})[[*keys, "score"]].drop_duplicates(keys)
    placed = rows.assign(x=places[:, 0], y=places[:, 1], norm=np.linalg.norm(vectors, axis=1))
    return placed.merge(scores, how="left", on=keys)


def draw_map(rows: pd.DataFrame, product: str | None, ax, size: float = 8):
    """One map, one product ID in colour (or all), the machine type's other IDs in pale grey."""
    coloured = rows["product"].isin([product] if product else rows["product"])
    coloured |= rows.kind == "others"
    rest = rows[~coloured]
    ax.scatter(rest.x, rest.y, s=size / 2, color=REST, linewidths=0, label="other IDs")
    for kind, name in KINDS.items():
        part = rows[coloured & (rows.kind == kind)]
        ax.scatter(
            part.x, part.y, s=size, color=LABEL_COLOURS[kind], marker=MARKERS[kind][0],
            alpha=0.8, linewidths=0, label=name,
        )  # fmt: skip
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    ax.grid(False)
    return ax


def map_grid(maps: dict[tuple, pd.DataFrame], products: Sequence, title: str):
    """Maps in rows and columns, by the names of both; as in Fig. 3 where these are variant and ID.

    ``products`` are the product IDs in colour, a column each, or None for all of them.
    """
    rows, columns = (list(dict.fromkeys(names)) for names in zip(*maps, strict=True))
    figure, axes = plt.subplots(
        len(rows), len(columns), squeeze=False,
        figsize=(0.4 + 2.3 * len(columns), 0.9 + 2.2 * len(rows)),
    )  # fmt: skip
    for (row, column), places in maps.items():
        ax = axes[rows.index(row)][columns.index(column)]
        draw_map(places, products[columns.index(column)], ax)
        ax.set(title=column if row == rows[0] else "", ylabel=row if column == columns[0] else "")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=len(labels), markerscale=2,
        fontsize="small",
    )  # fmt: skip
    headed(figure, title)
    return figure


def hover_map(rows: pd.DataFrame, title: str) -> go.Figure:
    """The same map to hover over: which clip, which product ID, which score, which norm."""
    figure = go.Figure()
    for kind, name in KINDS.items():
        part = rows[rows.kind == kind]
        text = [
            f"{row.machine_type} ID {row.product}<br>{row.file}<br>norm {row.norm:.2f}"
            + ("" if np.isnan(row.score) else f", score {row.score:.3g}")
            for row in part.itertuples()
        ]
        marker = {"size": 6, "color": LABEL_COLOURS[kind], "symbol": MARKERS[kind][1]}
        figure.add_scatter(
            x=part.x, y=part.y, mode="markers", name=name, text=text,
            hovertemplate="%{text}<extra>" + name + "</extra>", marker=marker,
        )  # fmt: skip
    return plain(figure, title).update_xaxes(visible=False).update_yaxes(visible=False)


def plain(figure: go.Figure, title: str) -> go.Figure:
    """A plotly figure in the look of the book: white, legend below, as wide as the page."""
    return figure.update_layout(
        title={"text": title, "font": {"size": 14}},
        template="plotly_white",
        height=480,
        autosize=True,
        margin={"l": 50, "r": 10, "t": 60, "b": 40},
        legend={"orientation": "h", "y": -0.12},
    )


STARTS = {
    "positive": "the slope of Eq. 2 starts positive: the other machines are drawn to the centre, "
    "the target stays out, and an anomaly like them should be *shorter* than a normal clip",
    "negative": "the slope of Eq. 2 starts negative: the target starts short, the other machines "
    "are pushed outwards, and an anomaly like them should be *longer* than a normal clip",
    "random": "the slope of Eq. 2 starts where the seed puts it, so either can be the longer one",
}


def expected_norms(runs: Sequence[Run]) -> str:
    """What Eq. 2 asks of the norms, a line of Markdown for each variant and its machine types."""
    types = {}
    for run in runs:
        reason = STARTS[run.profile.machine_slope]
        if run.profile.machine_weight == 0:
            reason = "trained without Eq. 2, so nothing asks for a norm"
        elif run.profile.machine_input == "embedding":
            reason = "Eq. 2 sees the whole embedding, so nothing asks for a norm"
        types.setdefault((run.params["variant"], reason), []).append(run.params["machine_type"])
    lines = [f"- **{name}** ({', '.join(those)}): {why}." for (name, why), those in types.items()]
    return "\n".join(lines)


SHARE = "other machines among neighbours (%)"


def closeness(run: Run, neighbours: int = 10) -> pd.DataFrame:
    """In the embedding itself, not on its map: how near anomalies come to other machines.

    By product ID and label: the mean share of other machines among the nearest ``neighbours`` of
    a test clip (normal clips of its product ID and clips of other machines), and the median norm.
    """
    rows, vectors = shown_clips(run)
    norm, kinds = np.linalg.norm(vectors, axis=1), rows.kind.to_numpy()
    distance = cdist(vectors, vectors)
    np.fill_diagonal(distance, np.inf)  # a clip is no neighbour of its own
    lines = []
    for (product, kind), part in rows[rows.kind != "others"].groupby(["product", "kind"]):
        is_normal = (rows["product"] == product) & (rows.kind == "normal")
        reference = np.flatnonzero(is_normal | (rows.kind == "others"))
        order = distance[np.ix_(part.index, reference)].argsort(axis=1)
        nearest = kinds[reference][order[:, : min(neighbours, len(reference) - 1)]]
        share = 100 * (nearest == "others").mean()
        lines.append((product, kind, share, np.median(norm[part.index])))
    table = pd.DataFrame(lines, columns=["product", "kind", SHARE, "median norm"])
    return table.assign(
        **{"machine type": run.params["machine_type"], "variant": run.params["variant"]}
    )


def closeness_by_label(runs: Sequence[Run]) -> pd.DataFrame:
    """:func:`closeness` of some runs, means over product IDs, normal beside anomalous clips."""
    keys = ["machine type", "variant", "kind"]
    means = pd.concat(map(closeness, runs)).groupby(keys, sort=False).mean(numeric_only=True)
    return means.unstack("kind")


def closeness_in_words(table: pd.DataFrame) -> str:
    """:func:`closeness_by_label` as lines of Markdown."""
    return "\n".join(
        f"- **{machine_type}, {variant}**: an anomalous clip has {share.anomaly:.0f} % other "
        f"machines among its neighbours, a normal one {share.normal:.0f} %."
        for (machine_type, variant), share in table[SHARE].iterrows()
    )
