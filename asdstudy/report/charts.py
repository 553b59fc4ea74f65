"""Charts of many runs: systems by machine type, differences with intervals, settings, seeds.

``rows`` are those of :func:`asdstudy.report.results.systems`; intervals are 95 % ones.
"""

import matplotlib.pyplot as plt
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import seaborn as sns

from asdstudy.report.captions import sound_of
from asdstudy.report.figures import COLOURS, VARIANT_COLOURS, finish
from asdstudy.report.paper import in_paper_order
from asdstudy.report.results import SYSTEMS
from asdstudy.report.statistics import interval

MARKERS = dict(zip(SYSTEMS, "osX^vDsX^vDP*p", strict=True))
HARMONIC_MEAN = "harmonic mean of AUC and pAUC (%)"


def points(
    values: pd.DataFrame, title: str, x: str = "machine_type", hue: str = "system", **panels
):
    """Values by ``x`` and ``hue`` (system, variant): means and SD, and a pale dot for each seed.

    ``panels`` are options of ``catplot``, such as ``row="IDs"``.
    """
    names, places = values[hue].unique(), sorted(values[x].unique(), key=in_paper_order)
    shared = {"x": x, "y": "value", "hue": hue, "order": places, "hue_order": names}
    shared |= {"palette": VARIANT_COLOURS}
    grid = sns.catplot(
        values, kind="point", **shared, markers=[MARKERS[name] for name in names],
        linestyles="none", errorbar="sd", dodge=0.8 - 0.8 / len(names), linewidth=1,
        markersize=6, height=3, aspect=2 + 0.2 * len(places), **panels,
    )  # fmt: skip
    grid.map_dataframe(sns.stripplot, **shared, dodge=True, jitter=False, size=3, alpha=0.4)
    grid.refline(y=50, color="0.5", linestyle=":")
    return finish(grid, title, "{row_name}", y="harmonic mean (%)")


def hover_products(rows: pd.DataFrame, title: str) -> go.Figure:
    """Every product ID to hover over: AUC and pAUC, h and p, role and seed, by machine type."""
    percent = 100 * rows[["AUC", "pAUC"]].round(3)
    points = rows.rename(columns={"inlier": "h", "size": "p"}).assign(**percent)
    points["harmonic mean"] = 2 / (1 / points.AUC + 1 / points.pAUC)
    figure = px.strip(
        points, x="machine_type", y="harmonic mean", color="system", title=title,
        color_discrete_map=VARIANT_COLOURS, labels={"harmonic mean": HARMONIC_MEAN},
        hover_data=["product", "role", "seed", "AUC", "pAUC", "h", "p"],
    )  # fmt: skip
    return plain(figure)


def plain(figure: go.Figure) -> go.Figure:
    """A plotly figure in the look of the book: white, legend below, as wide as the page."""
    return figure.update_layout(
        template="plotly_white", height=480, autosize=True, title_font_size=14,
        margin={"l": 50, "r": 10, "t": 60, "b": 40},
        legend={"orientation": "h", "y": -0.12, "title": ""},
    )  # fmt: skip


def forest(differences: pd.DataFrame, title: str):
    """Differences with their intervals: a panel for each compared system, a row for each type.

    None if there is no system to compare with.
    """
    if differences.empty:
        return None
    types = sorted(differences.machine_type.unique(), key=in_paper_order)
    table = differences.assign(row=differences.machine_type.map(types.index))
    count, height = table.minus.nunique(), 1 + 0.3 * len(types)
    grid = sns.FacetGrid(
        table, col="minus", col_wrap=min(count, 4), hue="minus", palette=VARIANT_COLOURS,
        height=height, aspect=3.2 / height,
    )  # fmt: skip
    grid.map(plt.hlines, "row", "low", "high", linewidth=2).map(plt.scatter, "difference", "row")
    grid.refline(x=0, color="0.4", linestyle="-")
    grid.set(yticks=range(len(types)), yticklabels=types, ylim=(len(types) - 0.5, -0.5))
    against = table.system.iloc[0]
    return finish(grid, title, f"{against} minus {{col_name}}", x="difference (points)")


def _by_machine(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column ``machine``: the machine type and whose sound it is."""
    sounds = table.corpus.map(lambda corpus: sound_of(corpus).split(" (")[0])
    return table.assign(machine=table.machine_type + " (" + sounds + ")")


def by_dial(table: pd.DataFrame, column: str, label: str, centre: float):
    """A column against each dial, a row for each machine type, a line for each variant."""
    table = _by_machine(table).assign(dial=table.dial.str.replace("_", " "))
    grid = sns.catplot(
        table, kind="point", x="setting", y=column, row="machine", col="dial", hue="variant",
        sharey="row", col_order=sorted(table.dial.unique(), reverse=True), errorbar=interval,
        palette=VARIANT_COLOURS, dodge=0.08, native_scale=True, capsize=0.03, linewidth=1.5,
        markersize=6, height=3.1, aspect=1.5,
    )  # fmt: skip
    grid.map_dataframe(
        sns.scatterplot, x="setting", y=column, hue="variant", palette=VARIANT_COLOURS,
        legend=False, s=14, alpha=0.5,
    )  # fmt: skip
    grid.refline(y=centre, color="0.5", linestyle=":")
    grid.figure.supylabel(label, fontsize="medium")
    return finish(grid, panel="{row_name}: {col_name}", x="setting")


def by_switch(changes: pd.DataFrame):
    """The column ``change`` by switch and setting, a panel for each machine type."""
    table = _by_machine(changes).assign(choice=changes.switch + ": " + changes.setting)
    order, height = table.choice.unique(), 0.8 + 0.42 * table.choice.nunique()
    grid = sns.catplot(
        table, kind="point", x="change", y="choice", col="machine", order=order, sharex=False,
        errorbar=interval, capsize=0.3, linestyle="none", markers="D", color=COLOURS[0],
        linewidth=1.5, markersize=6, height=height, aspect=4 / height,
    )  # fmt: skip
    grid.map_dataframe(
        sns.stripplot, x="change", y="choice", order=order, color=COLOURS[7], size=4,
        jitter=False,
    )  # fmt: skip
    grid.refline(x=0, color="0.5", linestyle="-")
    for machine, ax in grid.axes_dict.items():
        reach = 1.2 * max(table.change[table.machine == machine].abs().max(), 1)
        ax.set(xlim=(-reach, reach))
        ax.grid(axis="y")
    grid.figure.supxlabel("difference from the default (points)", fontsize="medium")
    return finish(grid)
