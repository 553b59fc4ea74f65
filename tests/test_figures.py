"""Figures of clips and of a run: axes that say what they show, in a width that can be read."""

from itertools import combinations

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from asdstudy.report import charts, figures
from workflow.assemble import html_of, local_scripts, one_figure_each


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def lettering(figure) -> list:
    """The texts of a figure, drawn, but the ticks'; and that they can be read on a telephone."""
    figure.canvas.draw()
    ticks = [tick for ax in figure.axes for tick in (*ax.get_xticklabels(), *ax.get_yticklabels())]
    texts = [text for text in figure.findobj(plt.Text) if text.get_text() and text.get_visible()]
    assert min(350 / 72 / figure.get_figwidth() * text.get_fontsize() for text in texts) > 9
    return [text for text in texts if text not in ticks]


def assert_apart(figure) -> None:
    """No text of a figure is cut, and none lies on another."""
    boxes = {text.get_text(): text.get_window_extent() for text in lettering(figure)}
    for words, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, words
    for (words, box), (others, other) in combinations(boxes.items(), 2):
        assert not box.overlaps(other), (words, others)


@pytest.mark.parametrize("types", [1, 2, 8])
def test_the_legend_of_systems_is_below_the_axis_title(types):
    figures.use_style()
    systems = ["proposed", "ddcsad", "serial", "parallel", "ae", "spectrum, kNN"]
    rows = [
        (f"type {number}", system, 50.0 + number + seed)
        for number in range(types)
        for system in systems
        for seed in range(2)
    ]
    values = pd.DataFrame(rows, columns=["machine_type", "system", "value"])
    assert_apart(charts.points(values, "simulated sound, quick profile, 2 seeds; bars: SD"))


def test_long_names_of_rows_and_panels_are_not_cut():
    figures.use_style()
    long = "slope of Eq. 2: starts positive (the paper's picture)"
    rows = [
        (name, f"{panel} (real recordings, not DCASE)", "default", 1.0, 0.0, 2.0)
        for name in ("short", long)
        for panel in "abc"
    ]
    columns = ["minus", "sound", "system", "difference", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    assert_apart(charts.forest(table, "of a test", row="minus", col="sound"))
    few = table[table.minus == "short"].replace({"sound": {sound: "x" for sound in table.sound}})
    few = pd.concat([few.assign(minus=name) for name in ("fan", "slider", "All")])
    figure = charts.forest(few, "of a test " * 8, row="minus", col="sound")
    assert_apart(figure)
    rows = [tick.get_window_extent() for tick in figure.axes[0].get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in combinations(rows, 2))
    few = pd.concat([few.assign(sound=name) for name in "abc"])
    panels = charts.forest(few, "of a test", row="minus", col="sound").axes
    seen = [any(label.get_visible() for label in ax.get_yticklabels()) for ax in panels]
    assert seen == [True, False, True]  # two to a row, which share their names
    lines = table.assign(mean=1.0, clips=[3, 3, 3, 50, 50, 50])
    assert_apart(charts.levels(lines, "clips", "train clips of an ID", "of a test"))


@pytest.mark.parametrize("spike, scale", [(2.0, "linear"), (900.0, "log")])
def test_a_spike_does_not_flatten_the_losses(spike, scale):
    loss = np.linspace(1, 0.5, 20)
    loss[3] = spike
    history = pd.DataFrame({"epoch": range(1, 21), "loss": loss, "validation_loss": loss})
    figure = figures.loss_curves(history)
    assert figure.axes[0].get_yscale() == scale and figure.get_figwidth() == figures.WIDTH


def test_each_of_several_figures_of_a_cell_has_its_own_caption_on_the_page(monkeypatch):
    outputs = []

    def display(figure, metadata={}):  # noqa: B006
        outputs.append(nbformat.v4.new_output("display_data", metadata=metadata))

    monkeypatch.setattr(figures, "display", display)
    display("words before")
    for name in "ab":
        figure = plt.figure()
        figure.add_subplot(title="left")
        figures.show(figure, f"caption {name}", f"maps of {name}")
    display("a player")
    cell = nbformat.v4.new_code_cell("draw()", id="maps", outputs=outputs)
    parts = one_figure_each(cell)
    assert [(part.id, part.source, len(part.outputs)) for part in parts] == [
        ("maps", "draw()", 1),
        *((f"maps-{number}", "# see above", 1) for number in (1, 2, 3)),
    ]
    captions = [part.metadata.get("mystnb", {}).get("figure") for part in parts]
    assert captions == [None, {"caption": "caption a"}, {"caption": "caption b"}, None]
    assert parts[1].metadata["mystnb"]["image"] == {"alt": "maps of a: left"}
    assert not plt.get_fignums()


def test_each_of_several_charts_of_a_cell_has_its_own_caption_on_the_page(monkeypatch):
    """And plotly's script comes from the site, beside one that keeps the width of the page."""
    outputs = []

    def display(data, raw, metadata):
        outputs.append(nbformat.v4.new_output("display_data", data, metadata=metadata))

    monkeypatch.setattr(charts, "display", display)
    for name in "ab":
        charts.show(go.Figure(), f"caption {name}")
    cell = nbformat.v4.new_code_cell("draw()", id="maps", outputs=outputs)
    about = [part.metadata["mystnb"] for part in one_figure_each(cell)[1:]]
    assert about == [{"figure": {"caption": f"caption {name}"}} for name in "ab"]
    page = local_scripts(html_of(outputs[0]), depth=1)
    assert 'src="../scripts/plotly.min.js"' in page and "https://cdn" not in page
    assert "ResizeObserver" in page
