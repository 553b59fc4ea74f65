"""Charts of many runs: systems by machine type, differences with intervals, settings of a dial.

``rows`` are those of :func:`asdstudy.report.results.systems`. No chart is wider than a page on
which it can still be read on a telephone: panels are below each other, at most two in a row.
"""

import textwrap
from itertools import cycle

import matplotlib.pyplot as plt
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import plotly.io
import seaborn as sns
from IPython.display import display

from asdstudy.report.captions import LABELS, sound_of
from asdstudy.report.figures import VARIANT_COLOURS, finish
from asdstudy.report.paper import ALL, in_paper_order
from asdstudy.report.results import SYSTEMS

MARKERS = dict(zip(SYSTEMS, cycle("osX^vDsX^vDP*p"), strict=False))
SHOWN = LABELS | {ALL: "All"}
HARMONIC_MEAN = "harmonic mean of AUC and pAUC (%)"


def points(values: pd.DataFrame, title: str, x: str = "machine_type", hue: str = "system"):
    """Values by ``x`` and ``hue`` (system, variant): means and SD, and a pale dot for each seed."""
    names, places = values[hue].unique(), sorted(values[x].unique(), key=in_paper_order)
    shared = {"x": "value", "y": x, "hue": hue, "order": places, "hue_order": names}
    shared |= {"palette": VARIANT_COLOURS}
    height = 1.2 + len(places) * (0.3 + 0.12 * len(names))
    grid = sns.catplot(
        values, kind="point", **shared, markers=[MARKERS[name] for name in names],
        linestyles="none", errorbar="sd", dodge=0.8 - 0.8 / len(names), linewidth=1,
        markersize=6, height=height,
    )  # fmt: skip
    grid.map_dataframe(sns.stripplot, **shared, dodge=True, jitter=False, size=3, alpha=0.4)
    grid.refline(x=50, color="0.5", linestyle=":")
    return finish(grid, title, x=HARMONIC_MEAN)


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
    return plain(figure).update_xaxes(title="")


def show(chart: go.Figure, caption: str) -> None:
    """Display one of several charts of a cell, as :func:`.figures.show` does a figure."""
    bundle = plotly.io.renderers["notebook_connected"].to_mimebundle(chart.to_dict())
    display(bundle, raw=True, metadata={"text/html": {"caption": caption}})


def plain(figure: go.Figure) -> go.Figure:
    """A plotly figure in the look of the book: white, legend below, as wide as the page."""
    title = textwrap.wrap(figure.layout.title.text, 44)  # what a telephone has room for
    return figure.update_layout(
        template="plotly_white", height=480, autosize=True,
        title={"text": "<br>".join(title), "font_size": 14},
        margin={"l": 50, "r": 10, "t": 60, "b": 40},
        legend={"orientation": "h", "y": -0.15, "yanchor": "top", "title": ""},
    )  # fmt: skip


def with_sound(table: pd.DataFrame) -> pd.DataFrame:
    """The table with whose sound it is beside each machine type, as in "fan (simulated sound)"."""
    sounds = table.corpus.map(lambda corpus: sound_of(corpus).split(" (")[0])
    return table.assign(machine_type=table.machine_type + " (" + sounds + ")")


def forest(differences: pd.DataFrame, title: str, row="machine_type", col="minus"):
    """Differences with their intervals: a panel for each ``col``, a line for each ``row``.

    None if there is no system to compare with.
    """
    if differences.empty:
        return None
    if len(set(differences.get("machine_type", ())) - {ALL}) == 1:
        differences = differences[differences.machine_type != ALL]  # over all is the same
    names = list(differences[row].unique())
    names = sorted(names, key=in_paper_order) if row == "machine_type" else names
    table = differences.assign(place=differences[row].map(names.index)).replace(SHOWN)
    labels = [textwrap.fill(SHOWN.get(name, name), 30) for name in names]
    deepest = 1 + max(label.count("\n") for label in labels)  # lines of a label
    columns = 1 if max(map(len, labels)) > 12 else min(table[col].nunique(), 2)
    grid = sns.FacetGrid(
        table, col=col, col_wrap=columns, hue=col if col == "minus" else None,
        palette=VARIANT_COLOURS, height=max(1.2, 0.5 + len(labels) * (0.08 + 0.14 * deepest)),
    )  # fmt: skip
    grid.figure.set_figheight(grid.figure.get_figheight() + 0.8)  # for the titles above and below
    grid.map(plt.hlines, "place", "low", "high", linewidth=2)
    grid.map(plt.scatter, "difference", "place", s=20)
    grid.refline(x=0, color="0.4", linestyle="-")
    grid.set(yticks=range(len(names)), yticklabels=labels, ylim=(len(names) - 0.5, -0.5))
    panels = list(grid.axes.flat)
    for number, ax in enumerate(panels):  # seaborn hides the ticks of this moment only
        below, beside = number + columns < len(panels), number % columns > 0
        below = below and len(names) * deepest <= 12  # else the lowest ticks are too far away
        ax.tick_params(labelbottom=not below, labelleft=not beside)
    systems, others = table.system.unique(), table.minus.unique()
    system = systems[0] if len(systems) == 1 else "each system"
    minus = others[0] if len(others) == 1 else "the other system"
    what = f"{system} minus {minus}"
    if len(others) > 1 and "minus" not in (row, col):  # the rows say it
        what = "difference"
    figure, label = finish(grid, title), f"{what} (points)"
    if columns == 1:
        label = textwrap.fill(label, 26)  # as wide as the panel
        figure.set_figheight(figure.get_figheight() + 0.2 * label.count("\n"))
        panels[-1].set_xlabel(label)
    else:  # centred below the panels, not below their labels, too
        figure.draw_without_rendering()
        left, right = panels[0].get_position().x0, panels[columns - 1].get_position().x1
        figure.supxlabel(label, x=(left + right) / 2, fontsize="medium")
    return figure


def levels(lines: pd.DataFrame, x: str, label: str, title: str):
    """Means with their intervals, of :func:`.statistics.levels`, against ``x`` for each sound."""
    steps = sorted(lines[x].unique())  # as far from each other on the chart, whatever they are
    grid = sns.FacetGrid(lines.assign(place=lines[x].map(steps.index)), col="sound", col_wrap=2)
    grid.figure.set_figheight(2.5)
    grid.map(plt.vlines, "place", "low", "high", linewidth=2)
    grid.map(plt.plot, "place", "mean", marker="o")
    grid.refline(y=50, color="0.5", linestyle=":")
    grid.set(xticks=range(len(steps)), xticklabels=steps, xlim=(-0.4, len(steps) - 0.6))
    grid.figure.supxlabel(label, fontsize="medium")
    return finish(grid, title, y="mean AUC (%)")


def by_dial(values: pd.DataFrame, title: str):
    """Values against each dial, a row for each machine type, a line for each variant.

    A line connects means over seeds, a bar is their SD, and each dot is a seed.
    """
    values = values.assign(dial=values.dial.str.replace("_", " "))
    grid = sns.catplot(
        values, kind="point", x="setting", y="value", row="machine_type", col="dial",
        hue="variant", col_order=sorted(values.dial.unique(), reverse=True), errorbar="sd",
        palette=VARIANT_COLOURS, dodge=0.08, native_scale=True, linewidth=1.5, markersize=6,
        height=2.6,
    )  # fmt: skip
    grid.map_dataframe(
        sns.scatterplot, x="setting", y="value", hue="variant", palette=VARIANT_COLOURS,
        legend=False, s=14, alpha=0.5,
    )  # fmt: skip
    grid.refline(y=50, color="0.5", linestyle=":")
    grid.set(xticks=sorted(values.setting.unique()))
    grid.figure.supylabel("mean AUC (%)", fontsize="medium")
    return finish(grid, title, "{row_name}: {col_name}", x="similarity")
