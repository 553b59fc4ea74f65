"""Draw the pictures of the book whose numbers are computed: the segments of a clip, and a ROC."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from asdlib.metrics import auc_pauc
from asdlib.waves import segment_starts

RATE, SECONDS, LENGTH, COUNT = 16_000, 10, 2, 10  # the paper's clips and segments
NORMAL, ANOMALOUS = [8, 5, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5], [9, 7, 6, 4.5]  # of the chapter scoring

STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "asdlib",  # the same file every time
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.transparent": True,  # in dark mode the page inverts the picture
}


def segments() -> Figure:
    """The S = 10 segments of a clip of 10 s, each with its start in seconds."""
    starts = segment_starts(SECONDS * RATE, COUNT, LENGTH * RATE) / RATE
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    bars = axes.barh(range(1, COUNT + 1), LENGTH, left=starts, color="#dcecf7", edgecolor="#0173b2")
    axes.bar_label(bars, [f"{start:.2f}" for start in starts], label_type="center")
    axes.set(xlim=(0, SECONDS), xticks=range(SECONDS + 1), yticks=range(1, COUNT + 1))
    axes.set(xlabel="time in the clip in seconds", ylabel="segment")
    axes.invert_yaxis()
    return figure


def roc() -> Figure:
    """The ROC of the worked example, with the area that the pAUC looks at."""
    labels = np.repeat([0, 1], [len(NORMAL), len(ANOMALOUS)])
    scores = np.array(NORMAL + ANOMALOUS)
    auc, pauc = auc_pauc(labels, scores)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    figure, axes = plt.subplots(figsize=(5, 4.2), layout="constrained")
    axes.axvspan(0, 0.1, color="#fbedd2")
    left = false <= 0.1
    axes.fill_between(false[left], true[left], color="#de8f05")
    axes.plot(false, true, color="#0173b2", linewidth=2, label=f"the example: AUC = {auc:.2f}")
    axes.plot([0, 1], [0, 1], color="#767676", linestyle="--", label="chance: AUC = 0.5")
    axes.annotate(
        f"$A_p$ = 0.1 · 1/4\npAUC = {pauc:.3f}", (0.08, 0.2), (0.15, 0.42), va="bottom",
        arrowprops={"arrowstyle": "-", "color": "#555"},
    )  # fmt: skip
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xticks=np.arange(11) / 10)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(loc="lower right", frameon=False)
    return figure


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        for draw in (segments, roc):
            figure = draw()
            figure.savefig(folder / f"{draw.__name__}.svg", metadata={"Date": None})
            plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("book/_static"))
    main(parser.parse_args().folder)
