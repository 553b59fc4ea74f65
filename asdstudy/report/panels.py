"""Panels of the sweeps: values and differences by setting, with intervals over seeds."""

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from asdstudy.report.captions import kind_of_corpus
from asdstudy.report.figures import COLOURS, VARIANT_COLOURS, headed
from asdstudy.report.studies import kind
from asdstudy.runs.sweeps import summarise


def _intervals(ax, summary: pd.DataFrame, along: str, colour, offset: float = 0.0, **line):
    """Mean and interval of each row of a summary (columns mean, low, high) at ``along``."""
    ax.errorbar(
        summary[along] + offset,
        summary["mean"],
        yerr=[summary["mean"] - summary.low, summary.high - summary["mean"]],
        color=colour,
        marker="o",
        capsize=3,
        **line,
    )


def _titled(machine_type: str, corpora: pd.Series) -> str:
    """A machine type and whose sound it is, as the title of its panel."""
    kinds = dict.fromkeys(kind_of_corpus(name).split(" (")[0] for name in corpora)
    return f"{machine_type} ({', '.join(kinds)})"


def _dial_grid(table: pd.DataFrame):
    types, dials = list(table.machine_type.unique()), sorted(table.dial.unique(), reverse=True)
    figure, axes = plt.subplots(
        len(types), len(dials), figsize=(9.5, 3.1 * len(types)), sharey="row", squeeze=False
    )
    panels = []
    for row, machine_type in zip(axes, types, strict=True):
        for ax, dial in zip(row, dials, strict=True):
            part = table[(table.machine_type == machine_type) & (table.dial == dial)]
            ax.set(title=_titled(machine_type, part.corpus), xlabel=dial.replace("_", " "))
            panels.append((ax, part))
    return figure, panels


def _lines(table: pd.DataFrame, along: str, value: str, centre: float, label: str):
    """``value`` against each dial, a line for each of the variants in the column ``along``."""
    figure, panels = _dial_grid(table)
    for ax, part in panels:
        groups = list(part.groupby(along, sort=False))
        for number, (variant, runs) in enumerate(groups):
            offset = 0.012 * (number - (len(groups) - 1) / 2)  # side by side, not one on another
            colour = VARIANT_COLOURS[variant]
            ax.scatter(runs.setting + offset, runs[value], color=colour, s=12, alpha=0.5)
            summary = summarise(runs, ["setting"], value).sort_values("setting")
            _intervals(ax, summary, "setting", colour, offset, label=label.format(variant))
        ax.axhline(centre, color="0.5", linestyle=":")
    handles = ax.get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=len(handles[0]))
    return figure


def dial_panels(table: pd.DataFrame):
    """Value against each dial (columns) for each machine type (rows), a line a variant."""
    figure = _lines(table, "variant", "value", 50, "{}")
    figure.supylabel("harmonic mean of AUC and pAUC (%)", fontsize="medium")
    return figure


def gain_panels(gains: pd.DataFrame):
    """Gain of the proposed method over each loss alone, against each dial, by machine type."""
    figure = _lines(gains, "against", "gain", 0, "proposed - {}")
    figure.supylabel("gain in percentage points", fontsize="medium")
    return figure


def change_panels(changes: pd.DataFrame):
    """Difference from the default for each switch's settings, a panel a machine type."""
    sets = list(changes.groupby(["corpus", "machine_type"], sort=False))
    names = (changes.switch + ": " + changes.setting).unique()
    figure, axes = plt.subplots(
        1,
        len(sets),
        figsize=(3 + 3 * len(sets), 0.8 + 0.42 * len(names)),
        sharey=True,
        squeeze=False,
    )
    for ax, ((_, machine_type), part) in zip(axes[0], sets, strict=True):
        heights = {name: -number for number, name in enumerate(names)}
        height = (part.switch + ": " + part.setting).map(heights)
        ax.scatter(part.change, height, color=COLOURS[7], s=14, zorder=3)
        summary = summarise(part.assign(height=height), ["height"], "change")
        ax.errorbar(
            summary["mean"],
            summary.height,
            xerr=[summary["mean"] - summary.low, summary.high - summary["mean"]],
            color=COLOURS[0],
            marker="D",
            linestyle="",
            capsize=3,
        )
        ax.axvline(0, color="0.4")
        reach = 1.2 * max(part.change.abs().max(), 1)
        ax.set(title=_titled(machine_type, part.corpus), xlim=(-reach, reach))
    figure.supxlabel("difference from the default (points)", fontsize="medium")
    axes[0][0].set_yticks([-n for n in range(len(names))], names)
    return figure


def variant_strip(table: pd.DataFrame):
    """Values by variant, a panel an inlier model, a dot a seed, the mean as a line.

    Above them what the table says of itself: whose sound, which profile, how many seeds.
    """
    inliers = list(table.inlier.unique())
    figure, axes = plt.subplots(
        1,
        len(inliers),
        sharey=True,
        squeeze=False,
        figsize=(2 + (0.8 + 0.6 * table.variant.nunique()) * len(inliers), 3.4),
    )
    for ax, inlier in zip(axes[0], inliers, strict=True):
        part = table[table.inlier == inlier]
        sns.stripplot(
            part,
            x="variant",
            y="value",
            hue="variant",
            palette=VARIANT_COLOURS,
            ax=ax,
            legend=False,
        )
        for place, variant in enumerate(part.variant.unique()):
            mean = part[part.variant == variant].value.mean()
            ax.plot([place - 0.3, place + 0.3], [mean, mean], color="0.2")
        ax.axhline(50, color="0.6", linestyle=":")
        ax.set(title=f"h = {inlier}", xlabel="", ylabel="harmonic mean of\nAUC and pAUC (%)")
        ax.tick_params(axis="x", rotation=20)
    headed(figure, kind(table))
    return figure
