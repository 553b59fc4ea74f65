"""One look for the whole book, its colours by name, and the figures of clips and of a single run.

Every plot takes data and an axis or returns a figure.
"""

import base64
import io
import textwrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import soundfile
import torch
from IPython.display import HTML
from sklearn.metrics import roc_curve

from asdlib.encoder import LogMel
from asdlib.metrics import MAX_FPR
from asdlib.profiles import SAMPLE_RATE, Profile

PALETTE = "colorblind"
COLOURS = sns.color_palette(PALETTE, 10).as_hex()
LABEL_COLOURS = {"normal": COLOURS[0], "anomaly": COLOURS[3], "others": COLOURS[7]}
LABEL_COLOURS["unknown"] = LABEL_COLOURS["others"]  # never side by side
VARIANT_COLOURS = {
    "proposed": COLOURS[2],
    "no-mixup": COLOURS[1],
    "without h": COLOURS[4],
    "product-only": COLOURS[0],
    "machine-only": COLOURS[3],  # not the palette's yellow: too pale for thin lines
    "no-norm-head": COLOURS[5],
    # the rivals stand beside the proposed method only, so that they can have the same colours
    "ddcsad": COLOURS[0],
    "serial": COLOURS[1],
    "parallel": COLOURS[3],
    "ae": COLOURS[4],
    "classifier": COLOURS[5],
    "spectrum": COLOURS[7],
    "spectrum, kNN": "#4d4d4d",
    "level": COLOURS[9],
}


def use_style() -> None:
    """The book's look: on a white card in light and dark mode, sharp on dense screens."""
    sns.set_theme(context="notebook", style="whitegrid", palette=PALETTE)
    plt.rcParams.update(
        {
            "figure.dpi": 110,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "axes.titlesize": "medium",
            "legend.frameon": False,
        }
    )


def headed(figure, title: str) -> None:
    """A title over all panels of a figure, in lines that are no wider than it is."""
    lines = textwrap.fill(title, round(13 * figure.get_figwidth()))
    figure.suptitle(lines, fontsize="medium")


def player(wave: np.ndarray, title: str) -> HTML:
    """An audio player with a caption; ``wave`` ``(frames,)`` is made as loud as can be.

    The sound is embedded in the page as 16-bit WAV, so that the page needs no other files.
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


def spectrogram(wave: np.ndarray, profile: Profile, ax=None, title: str = ""):
    """The log-mel that the encoder sees of ``wave`` ``(frames,)``, scaled to variance 1."""
    ax = ax or plt.gca()
    scaled = torch.from_numpy(np.asarray(wave, np.float32) / max(float(np.std(wave)), 1e-9))
    with torch.inference_mode():
        mel = LogMel(profile)(scaled[None])[0].numpy()
    seconds = len(wave) / SAMPLE_RATE
    ax.imshow(
        mel,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, seconds, 0, profile.mel_bins),
        vmin=np.percentile(mel, 2),
        vmax=np.percentile(mel, 99.8),
    )
    ax.set(xlabel="time (s)", ylabel="mel bin", title=title)
    ax.grid(False)
    return ax


LOSSES = {
    "loss": "L (Eq. 3)",
    "machine_loss": "L_machine (Eq. 2)",
    "product_loss": "L_product (Eq. 1)",
    "centroid_loss": "centroids (DDCSAD)",
    "squared_error": "squared error (autoencoder)",
}


def loss_curves(history: pd.DataFrame, title: str = ""):
    """Training and validation losses by epoch, and the epoch that was kept, under ``title``.

    Of a system of several models the mean over the models; None for one that was not trained.
    """
    if not len(history):
        return None
    parts = [name for name in LOSSES if name in history]
    single = "product" not in history
    mean = history.drop(columns=["product"], errors="ignore").groupby("epoch").mean()
    figure, axes = plt.subplots(1, len(parts), figsize=(11 / 3 * len(parts), 3.2), squeeze=False)
    for ax, name in zip(axes[0], parts, strict=True):
        ax.plot(mean.index, mean[name], label="training", color=COLOURS[7])
        ax.plot(mean.index, mean[f"validation_{name}"], label="validation", color=COLOURS[0])
        # the autoencoder keeps its last epoch
        if single and len(parts) > 1 and name != "squared_error":
            kept = mean.validation_loss.idxmin()
            ax.axvline(kept, color=COLOURS[1], linestyle=":", label=f"kept: epoch {kept}")
        loss = LOSSES[name] if len(parts) > 1 else "mean squared error"
        ax.set(xlabel="epoch", title=loss if single else f"{loss}, mean over models")
    axes[0][0].legend()
    headed(figure, title)
    return figure


def score_distributions(scores: pd.DataFrame, title: str = ""):
    """Clip scores of normal and anomalous clips, a panel a product ID, under ``title``."""
    labels = [label for label in ("normal", "anomaly", "unknown") if (scores.label == label).any()]
    products = sorted(scores["product"].unique())
    figure, axes = plt.subplots(
        1, len(products), figsize=(1.2 + 2.1 * len(products), 3), squeeze=False
    )
    for ax, product in zip(axes[0], products, strict=True):
        part = scores[scores["product"] == product]
        sns.stripplot(
            part, x="label", y="score", hue="label", order=labels, ax=ax,
            palette=LABEL_COLOURS, size=3, alpha=0.7, legend=False,
        )  # fmt: skip
        ax.set(title=f"ID {product}", xlabel="", ylabel="anomaly score" if ax is axes[0][0] else "")
        spread_out(ax, part.score)
    headed(figure, title)
    return figure


def spread_out(ax, values) -> None:
    """A y axis that is logarithmic outwards where few scores dwarf the rest, as a GMM's may."""
    low, high = np.quantile(np.abs(values), [0.25, 1])
    if high > 100 * low > 0:
        first, last = np.ceil(np.log10(low)), np.floor(np.log10(high))
        ax.set_yscale("symlog", linthresh=10**first)
        ax.set_yticks([0, *10 ** np.arange(first, last + 1, max((last - first) // 3, 1))])
        ax.set_ylim(min(1.5 * np.min(values), 0), 2 * max(np.max(values), 0))


def roc_curves(scores: pd.DataFrame, title: str = ""):
    """ROC by product ID, with the region of the pAUC (false positive rate up to 0.1) shaded."""
    figure, ax = plt.subplots(figsize=(4.6, 4.2))
    ax.axvspan(0, MAX_FPR, color=COLOURS[7], alpha=0.25, label=f"pAUC region (p = {MAX_FPR})")
    ax.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="chance")
    for product, part in scores[scores.label != "unknown"].groupby("product"):
        if part.label.nunique() == 2:
            false, true, _ = roc_curve(part.label == "anomaly", part.score)
            ax.plot(false, true, label=f"ID {product}")
    ax.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))
    headed(figure, title)
    ax.legend(fontsize="small", loc="lower right")
    return figure


def segment_scores_over_time(scores: pd.DataFrame, title: str = ""):
    """Segment scores along some clips: columns seconds (where it starts), score, clip, label."""
    clips = scores.groupby(["clip", "label"], sort=False)
    figure, ax = plt.subplots(figsize=(7, 2.4 + 0.4 * len(clips)))
    for number, ((clip, label), part) in enumerate(clips):
        style = {"color": LABEL_COLOURS.get(label, "0.5"), "marker": "o^sD"[number % 4]}
        style["linestyle"] = "-" if number < 2 else "--"
        name = textwrap.fill(f"{label}: {clip}", 76)  # file names may be wider than the figure
        ax.plot(part.seconds, part.score, label=name, **style)
    spread_out(ax, scores.score)
    ax.set(xlabel="start of the segment (s)", ylabel="anomaly score")
    headed(figure, title)
    figure.legend(fontsize="small", loc="outside lower left")
    return figure


def spectrograms(sounds: dict[str, np.ndarray], profile: Profile, title: str = ""):
    """The log-mels of some clips, two in a row, each under its name, all under ``title``."""
    rows = -(-len(sounds) // 2)
    figure, axes = plt.subplots(rows, 2, figsize=(9, 3.2 * rows), squeeze=False)
    for ax in axes.flat[len(sounds) :]:
        ax.set_axis_off()
    for ax, (name, wave) in zip(axes.flat, sounds.items(), strict=False):
        spectrogram(wave, profile, ax)
        ax.set_title("\n".join(textwrap.wrap(name, 44)), fontsize="small")
    headed(figure, title)
    return figure


def remarkable_clips(scores: pd.DataFrame) -> pd.DataFrame:
    """Clips worth hearing: most and least anomalous, and the worst misjudged of each label."""
    rank = scores.groupby("product").score.rank(pct=True)
    normal, anomaly = scores.label == "normal", scores.label == "anomaly"
    rows = {"most anomalous": scores.score.idxmax(), "least anomalous": scores.score.idxmin()}
    if normal.any():
        rows["normal, ranked highest"] = rank[normal].idxmax()
    if anomaly.any():
        rows["anomaly, ranked lowest"] = rank[anomaly].idxmin()
    return scores.loc[list(rows.values())].assign(why=list(rows))
