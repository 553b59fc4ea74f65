"""The look of the book, its colours by name, and the figures of clips and of a single run."""

import base64
import io
import re
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import soundfile
from IPython.display import HTML, display
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from sklearn.metrics import roc_curve

from asdlib.metrics import MAX_FPR
from asdlib.profiles import SAMPLE_RATE

PALETTE = "colorblind"
WIDTH = 4.5  # inches of a whole figure; a wider one could not be read on a telephone
COLOURS = sns.color_palette(PALETTE, 10).as_hex()
COLOURS[7] = "#757575"  # the palette's grey is too pale, most of all in dark mode
LABEL_COLOURS = {"normal": COLOURS[0], "anomaly": COLOURS[3], "others": COLOURS[7]}
LABEL_COLOURS["unknown"] = LABEL_COLOURS["others"]  # never side by side
VARIANT_COLOURS = {
    "proposed": COLOURS[2],
    "no-mixup": COLOURS[1],
    "without h": COLOURS[4],
    "product-only": COLOURS[0],
    "machine-only": COLOURS[3],  # not the palette's yellow: too pale for thin lines
    "no-norm-head": COLOURS[5],
    # rivals may share colours with the ablation: a figure shows one or the other
    "ddcsad": COLOURS[0],
    "serial": COLOURS[1],
    "parallel": COLOURS[3],
    "ae": COLOURS[4],
    "classifier": COLOURS[5],
    "spectrum": COLOURS[7],
    "spectrum, kNN": "#333333",
    "level": COLOURS[9],
}


def use_style() -> None:
    """Set the book's look: dark on white, darker is more; dark mode inverts the whole figure."""
    look = {"figure.dpi": 150, "figure.figsize": (WIDTH, 3.4), "legend.frameon": False}
    look |= {"axes.titlesize": "medium"}
    look |= dict.fromkeys(["figure.facecolor", "savefig.facecolor"], "white")
    sns.set_theme(font_scale=0.9, style="whitegrid", palette=PALETTE, rc=look)


def headed(figure, title: str) -> None:
    """Set a title over all panels of a figure, in lines no wider than the figure."""
    whole = re.compile(r"\d+ %( intervals)?|test IDs")  # no line ends there
    title = whole.sub(lambda words: words[0].replace(" ", "\N{NO-BREAK SPACE}"), title)
    lines = textwrap.fill(title, round(11 * figure.get_figwidth()))
    figure.suptitle(lines, fontsize="medium")


def finish(grid: sns.FacetGrid, title: str = "", panel: str = "{col_name}", x="", y="") -> Figure:
    """Lay out a grid of seaborn's as the book does: width, titles, labels, the legend below."""
    grid.figure.set_layout_engine("constrained", h_pad=0.08)  # titles belong to what is below
    grid.figure.set_figwidth(WIDTH)
    grid.set_titles(panel).set_axis_labels(x, y)
    for ax in grid.axes.flat:
        ax.set_title(textwrap.fill(ax.get_title(), 48 // ax.get_gridspec().ncols))
    headed(grid.figure, title)
    if grid.legend:
        columns = min(len(grid.legend.legend_handles), 4)
        look = {"title": None, "handlelength": 1.2, "columnspacing": 1.2}
        sns.move_legend(grid, "outside lower center", ncols=columns, **look)
    return grid.figure


def show(figure: Figure, caption: str, what: str) -> None:
    """Display one of several figures of a cell; the alternative text is ``what`` and the panels.

    `workflow/assemble.py` takes both texts to the page. A cell's only figure has its texts in the
    metadata of the cell.
    """
    alt = f"{what}: {'; '.join(filter(None, (ax.get_title() for ax in figure.axes)))}"
    words = {"caption": caption, "alt": alt.replace("\n", " ")}
    display(figure, metadata={"image/png": words})
    plt.close(figure)


def player(wave: np.ndarray, title: str) -> HTML:
    """An audio player with a caption, for ``wave`` ``(frames,)`` scaled to a fixed peak.

    The page embeds the sound as 16-bit WAV, so it needs no other files.
    """
    loud = np.array(wave, np.float64)
    loud *= 0.9 / max(np.abs(loud).max(), 1e-9)
    buffer = io.BytesIO()
    soundfile.write(buffer, loud, SAMPLE_RATE, format="WAV", subtype="PCM_16")
    data = base64.b64encode(buffer.getvalue()).decode()
    return HTML(
        f'<figure class="player"><figcaption>{title}</figcaption><audio controls '
        f'preload="metadata" aria-label="{title}" src="data:audio/wav;base64,{data}">'
        "</audio></figure>"
    )


LOSSES = {
    "loss": "$L$ (Eq. 3)",
    "machine_loss": r"$L_\mathrm{machine}$ (Eq. 2)",
    "product_loss": r"$L_\mathrm{product}$ (Eq. 1)",
    "centroid_loss": "centroids (DDCSAD)",
    "squared_error": "squared error (autoencoder)",
}


def loss_curves(history: pd.DataFrame, title: str = ""):
    """Training and validation losses by epoch, and the epoch that was kept.

    The curves are means over the models of a system; None for a system that is not trained.
    """
    if not len(history):
        return None
    parts = [name for name in LOSSES if name in history]
    losses = history.melt("epoch", [*parts, *(f"validation_{name}" for name in parts)], "loss")
    is_validation = losses.loss.str.startswith("validation_")
    losses["loss"] = losses.loss.str.removeprefix("validation_").map(LOSSES)
    losses["part"] = is_validation.map({False: "training", True: "validation"})
    grid = sns.relplot(
        losses, kind="line", x="epoch", y="value", hue="part", col="loss", errorbar=None,
        palette=[COLOURS[7], COLOURS[0]], col_wrap=1, height=2,
        facet_kws={"sharey": False},
    )  # fmt: skip
    for loss, ax in grid.axes_dict.items():
        of_panel = losses.value[losses.loss == loss]
        if of_panel.min() > 0 and of_panel.max() > 10 * of_panel.median():  # a spike
            ax.set_yscale("log")
            if of_panel.max() < 100 * of_panel.min():  # else the powers of ten are enough
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(NullFormatter())
    # an autoencoder keeps its last epoch, and each of several models keeps its own
    if "product" not in history and len(parts) > 1:
        kept = history.epoch[history.validation_loss.idxmin()]
        for loss, ax in grid.axes_dict.items():
            if loss != LOSSES["squared_error"]:
                ax.axvline(kept, color=COLOURS[1], linestyle=":")
        title += f"; the dotted line is the kept epoch, {kept}"
    return finish(grid, title, x="epoch")


def score_distributions(scores: pd.DataFrame, title: str = ""):
    """Clip scores of normal and anomalous clips, a panel for each product ID."""
    labels = [label for label in ("normal", "anomaly", "unknown") if (scores.label == label).any()]
    grid = sns.catplot(
        scores, x="label", y="score", hue="label", col="product", order=labels,
        col_order=sorted(scores["product"].unique()), palette=LABEL_COLOURS, size=3, alpha=0.7,
        legend=False, sharey=False, col_wrap=2, height=2.2,
    )  # fmt: skip
    for product, ax in grid.axes_dict.items():
        spread_out(ax, scores.score[scores["product"] == product])
    return finish(grid, title, "ID {col_name}", y="anomaly score")


def spread_out(ax, values) -> None:
    """Make the y axis symmetrically logarithmic if a few scores dwarf the rest, as a GMM's may."""
    low, high = np.quantile(np.abs(values), [0.25, 1])
    if high > 30 * low > 0:
        last = np.floor(np.log10(high))
        first = min(np.ceil(np.log10(low)), last - 1)  # at least two labels on the logarithmic part
        ax.set_yscale("symlog", linthresh=10**first)
        ax.set_yticks([0, *10 ** np.arange(first, last + 1, max((last - first) // 3, 1))])
        ax.set_ylim(min(1.5 * np.min(values), -0.1 * 10**first), 2 * max(np.max(values), 0))
    elif high >= 10_000:  # else "1e6" stands beside the title of the panel
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))


def roc_curves(scores: pd.DataFrame, title: str = ""):
    """The ROC of each product ID in a panel; the shaded region is that of the pAUC.

    None where no product ID has clips of both labels.
    """
    by_product = scores[scores.label != "unknown"].groupby("product")
    tested = {name: part for name, part in by_product if part.label.nunique() == 2}
    if not tested:
        return None
    rows = -(-len(tested) // 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(WIDTH, 2 * rows + 0.7), squeeze=False, layout="constrained"
    )
    for ax, (product, part) in zip(axes.flat, tested.items(), strict=False):
        ax.axvspan(0, MAX_FPR, color=COLOURS[7], alpha=0.35)
        ax.plot([0, 1], [0, 1], color="0.4", linestyle=":")
        false, true, _ = roc_curve(part.label == "anomaly", part.score)
        ax.plot(false, true, color=COLOURS[0], clip_on=False, zorder=3)
        ticks = {"xticks": [0, 0.5, 1], "yticks": [0, 0.5, 1]}
        ax.set(title=f"ID {product}", xlim=(0, 1), ylim=(0, 1), aspect="equal", **ticks)
    for ax in axes.flat[len(tested) :]:
        ax.set_axis_off()
    figure.supxlabel("false positive rate", fontsize="medium")
    figure.supylabel("true positive rate", fontsize="medium")
    headed(figure, title)
    return figure


def segment_scores_over_time(scores: pd.DataFrame, title: str = ""):
    """Segment scores of some clips over time: columns seconds (start), score, clip, label."""
    colours = dict(zip(scores["clip"], scores.label.map(LABEL_COLOURS), strict=True))
    figure, ax = plt.subplots(layout="constrained")
    sns.lineplot(
        scores, x="seconds", y="score", hue="clip", style="clip", palette=colours, markers=True,
        ax=ax,
    )  # fmt: skip
    spread_out(ax, scores.score)
    ax.set(xlabel="start of the segment (s)", ylabel="anomaly score")
    headed(figure, title)
    ax.legend_.remove()  # below the axes, where it needs the layout of the figure
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower left", fontsize="small")
    return figure


def remarkable_clips(scores: pd.DataFrame) -> pd.DataFrame:
    """Clips worth hearing: the most and least anomalous, and the most misjudged of each label.

    Each clip once: one that is taken already gives way to the next.
    """
    rank = scores.groupby("product").score.rank(pct=True)
    order = {
        "most anomalous": -scores.score,
        "least anomalous": scores.score,
        "normal, ranked highest": -rank[scores.label == "normal"],
        "anomaly, ranked lowest": rank[scores.label == "anomaly"],
    }
    rows = {}
    for why, values in order.items():
        left = values.drop(list(rows.values()), errors="ignore")
        if len(left):
            rows[why] = left.idxmin()
    return scores.loc[list(rows.values())].assign(why=list(rows))
