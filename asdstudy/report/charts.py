"""Charts of many runs: systems by machine type, differences with intervals, settings, seeds.

``rows`` are those of :func:`asdstudy.report.results.systems`; intervals are 95 % ones.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import seaborn as sns

from asdstudy.report.captions import sound_of
from asdstudy.report.figures import COLOURS, VARIANT_COLOURS, headed
from asdstudy.report.maps import plain
from asdstudy.report.paper import ALL, in_paper_order
from asdstudy.report.results import SYSTEMS
from asdstudy.report.statistics import by_type, interval

MARKERS = dict(zip(SYSTEMS, "osX^vDsX^vDP*p", strict=True))
HARMONIC_MEAN = "harmonic mean of AUC and pAUC (%)"


def result_dots(rows: pd.DataFrame, title: str):
    """Our results by machine type: a dot a system and seed, test IDs filled, all IDs hollow."""
    types = [*sorted(rows.machine_type.unique(), key=in_paper_order), ALL]
    names = list(rows.system.unique())
    width = min(0.16, 0.8 / len(names))
    figure, ax = plt.subplots(figsize=(1.8 + 1.1 * len(types), 3.8))
    for role in ("test", None):
        for system, dots in by_type(rows, role).groupby("system", sort=False):
            shift = (names.index(system) - (len(names) - 1) / 2) * width
            ax.scatter(
                dots.machine_type.map(types.index) + shift, dots.value, s=38,
                marker=MARKERS[system], edgecolors=VARIANT_COLOURS[system], linewidths=1,
                facecolors=VARIANT_COLOURS[system] if role else "none", zorder=3 if role else 2,
                label=system if role else None,
            )  # fmt: skip
    ax.axhline(50, color="0.5", linestyle=":", linewidth=1)
    ax.set_xticks(range(len(types)), types, rotation=30, ha="right")
    ax.set(ylabel="harmonic mean (%)", title=title)
    ax.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=min(len(names), 8), fontsize="small")
    return figure


def hover_products(rows: pd.DataFrame, title: str) -> go.Figure:
    """Every product ID to hover over: AUC and pAUC, h and p, role, seed, by machine type."""
    figure = go.Figure()
    for system, part in rows.groupby("system", sort=False):
        text = [
            f"{row.machine_type} ID {row.product} ({row.role}), seed {row.seed}<br>AUC "
            f"{100 * row.AUC:.1f} %, pAUC {100 * row.pAUC:.1f} %<br>h: {row.inlier}, p = {row.p}"
            for row in part.rename(columns={"size": "p"}).itertuples()
        ]
        figure.add_box(
            x=part.machine_type, y=200 / (1 / part.AUC + 1 / part.pAUC), name=system, text=text,
            boxpoints="all", jitter=0.4, pointpos=0, fillcolor="rgba(0,0,0,0)",
            line={"color": "rgba(0,0,0,0)"}, marker={"color": VARIANT_COLOURS[system], "size": 6},
            hovertemplate="%{text}<extra>" + system + "</extra>", hoveron="points",
        )  # fmt: skip
    return plain(figure, title).update_layout(boxmode="group", yaxis_title=HARMONIC_MEAN)


def forest(differences: pd.DataFrame, title: str):
    """Differences with their intervals: a panel a compared system, a line a machine type.

    None where there is no system to compare with.
    """
    if differences.empty:
        return None
    systems = differences.minus.unique()
    names = sorted(differences.machine_type.unique(), key=in_paper_order)
    columns = min(len(systems), 4)
    lines = -(-len(systems) // columns)
    figure, axes = plt.subplots(
        lines, columns, sharey=True, sharex=True, squeeze=False,
        figsize=(1.6 + 2.8 * columns, 0.6 + (0.8 + 0.32 * len(names)) * lines),
    )  # fmt: skip
    for ax in axes.flat[len(systems) :]:
        ax.set_axis_off()
    for ax, system in zip(axes.flat, systems, strict=False):
        part = differences[differences.minus == system]
        heights, colour = part.machine_type.map(names.index), VARIANT_COLOURS[system]
        widths = np.where(part.machine_type == ALL, 4, 1.8)
        ax.hlines(heights, part.low, part.high, color=colour, linewidth=widths)
        ax.plot(part.difference, heights, MARKERS[system], color=colour)
        ax.axvline(0, color="0.4", linewidth=1)
        against = differences.system.iloc[0]
        ax.set(xlabel="difference (points)", title=f"{against} minus {system}")
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()
    headed(figure, title)
    return figure


def _by_machine(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column ``machine``: the machine type and whose sound it is."""
    sounds = table.corpus.map(lambda corpus: sound_of(corpus).split(" (")[0])
    return table.assign(machine=table.machine_type + " (" + sounds + ")")


def _panels(table: pd.DataFrame, above, more: dict, line: dict, **options) -> sns.FacetGrid:
    """seaborn's ``catplot``, ``above`` it another plot with ``more`` options, and a ``line``."""
    # seaborn has a layout of its own; the book's has a place for titles and legends
    with plt.rc_context({"figure.constrained_layout.use": False}):
        grid = sns.catplot(table, **options)
        grid.map_dataframe(above, x=options["x"], y=options["y"], **more)
        grid.refline(**line, color="0.5")
    grid.figure.set_layout_engine("constrained")
    return grid


def by_dial(table: pd.DataFrame, column: str, label: str, centre: float, legend: str = "{}"):
    """A column against each dial, a row a machine type, a line a variant with its intervals."""
    table = _by_machine(table).assign(dial=table.dial.str.replace("_", " "))
    colours = {"hue": "variant", "palette": VARIANT_COLOURS, "legend": False}
    grid = _panels(
        table, sns.scatterplot, {"s": 14, "alpha": 0.5, **colours}, {"y": centre, "linestyle": ":"},
        kind="point", x="setting", y=column, row="machine", col="dial", sharey="row",
        col_order=sorted(table.dial.unique(), reverse=True), errorbar=interval, dodge=0.08,
        native_scale=True, capsize=0.03, linewidth=1.5, markersize=6, height=3.1, aspect=1.5,
        **colours,
    )  # fmt: skip
    grid.set_titles("{row_name}: {col_name}").set_axis_labels("setting", "")
    grid.figure.supylabel(label, fontsize="medium")
    handles = [
        plt.Line2D([], [], marker="o", color=VARIANT_COLOURS[name], label=legend.format(name))
        for name in table.variant.unique()
    ]
    grid.figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return grid.figure


def by_switch(changes: pd.DataFrame):
    """The column ``change`` by switch and setting, a panel a machine type, a dot a seed."""
    table = _by_machine(changes).assign(choice=changes.switch + ": " + changes.setting)
    order, height = table.choice.unique(), 0.8 + 0.42 * table.choice.nunique()
    grid = _panels(
        table, sns.stripplot, {"order": order, "color": COLOURS[7], "size": 4, "jitter": False},
        {"x": 0, "linestyle": "-"}, kind="point", x="change", y="choice", col="machine",
        order=order, sharex=False, errorbar=interval, capsize=0.3, linestyle="none", markers="D",
        color=COLOURS[0], linewidth=1.5, markersize=6, height=height, aspect=4 / height,
    )  # fmt: skip
    for machine, ax in grid.axes_dict.items():
        reach = 1.2 * max(table.change[table.machine == machine].abs().max(), 1)
        ax.set(xlim=(-reach, reach))
        ax.grid(axis="y")
    grid.set_titles("{col_name}").set_axis_labels("", "")
    grid.figure.supxlabel("difference from the default (points)", fontsize="medium")
    return grid.figure


def seed_dots(values: pd.DataFrame, x: str, panel: str, title: str, name: str = "{col_name}"):
    """Values by ``x`` (variant, system), a panel for each ``panel``, a dot a seed, means as lines.

    ``name`` is what a panel is called.
    """
    places, panels = values[x].unique(), values[panel].nunique()
    means = {"order": places, "errorbar": None, "linestyle": "none", "color": "0.2"}
    grid = _panels(
        values, sns.pointplot, {**means, "marker": "_", "markersize": 26},
        {"y": 50, "linestyle": ":"}, kind="strip", x=x, y="value", col=panel, hue=x,
        palette=VARIANT_COLOURS, legend=False, size=6, height=3.4,
        aspect=(0.8 + 2 / panels + 0.6 * len(places)) / 3.4,
    )  # fmt: skip
    grid.set_titles(name).set_axis_labels("", "harmonic mean of\nAUC and pAUC (%)")
    grid.tick_params(axis="x", rotation=20)
    headed(grid.figure, title)
    return grid.figure
