"""Tables and charts of a study: systems by machine types, differences with intervals."""

import matplotlib.pyplot as plt
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown
from scipy.stats import hmean

from asdlib.profiles import TABLE_I, make_profile
from asdstudy.data import open_corpus
from asdstudy.report.captions import captioned, papermill_command
from asdstudy.report.figures import VARIANT_COLOURS
from asdstudy.report.maps import plain
from asdstudy.report.studies import (
    ALL,
    ROLES,
    SYSTEMS,
    collect,
    harmonic_means,
    of_system,
    origin,
    summary,
    systems_in,
    wide,
)
from asdstudy.runs.run import Run
from asdstudy.systems.trivial import trivial_table

MARKERS = dict(zip(SYSTEMS, "osX^vDsX^vDP*p", strict=False))


def best_in_bold(table: pd.DataFrame, caption: str):
    """A table of results in %, the best of each column in bold, under its caption."""
    results = [name for name in table if name != "#models"]
    look = captioned(table, caption, dict.fromkeys(results, "{:.2f}"))
    return look.highlight_max(props="font-weight: bold", subset=results)


def with_spread(long: pd.DataFrame, decimals: int = 1) -> pd.DataFrame:
    """The long summary as text, "mean ± SD" where there are several seeds, systems by types."""
    mean = long["mean"].map(f"{{:.{decimals}f}}".format)
    spread = long.spread.map(lambda sd: f" ± {sd:.{decimals}f}" if pd.notna(sd) else "")
    table = long.assign(text=mean + spread).pivot(
        index="system", columns="machine_type", values="text"
    )
    return table.loc[long.system.unique(), long.machine_type.unique()].rename_axis(
        index=None, columns=None
    )


def chosen_inliers(runs: list[Run]) -> pd.DataFrame:
    """Which h and p each run chose, what chose them, and what the candidates reached.

    The harmonic means are those of the validation IDs in %, by the best p of each h.
    """
    rows = []
    for run in runs:
        choice, params = run.params["choice"], run.params
        best = {}
        for candidate in choice["candidates"]:
            value = candidate["validation"]
            if value is not None:
                best[candidate["inlier"]] = max(100 * value, best.get(candidate["inlier"], 0))
        paper = TABLE_I.get(params["machine_type"], {})
        rows.append(
            {
                "machine type": params["machine_type"],
                "variant": params["variant"],
                "seed": params["seed"],
                "h": choice["inlier"],
                "p": choice["sizes"][choice["inlier"]],
                "chosen by": choice["chosen_by"],
                **{f"validation: {name}": best.get(name) for name in ("GMM", "LOF", "none")},
                "paper: h": paper.get("inlier", "-"),
                "paper: p": paper.get("inlier_size", "-"),
            }
        )
    return pd.DataFrame(rows)


def result_dots(table: pd.DataFrame, title: str):
    """Our results by machine type: a dot a system and seed, test IDs filled, all IDs hollow."""
    names = list(summary(table).machine_type.unique())
    figure, ax = plt.subplots(figsize=(1.8 + 1.1 * len(names), 3.8))
    systems = systems_in(table)
    for number, system in enumerate(systems):
        shift = (number - (len(systems) - 1) / 2) * min(0.16, 0.8 / len(systems))
        for role in ROLES:
            means = harmonic_means(of_system(table, system, role)).reindex(columns=names)
            for x, name in enumerate(names):
                ax.scatter(
                    [x + shift] * len(means), means[name], s=38, marker=MARKERS[system],
                    facecolors=VARIANT_COLOURS[system] if role else "none",
                    edgecolors=VARIANT_COLOURS[system], linewidths=1,
                    label=system if role and not x else None, zorder=3 if role else 2,
                )  # fmt: skip
    ax.axhline(50, color="0.5", linestyle=":", linewidth=1)
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
    ax.set(ylabel="harmonic mean (%)", title=title)
    ax.grid(axis="x", visible=False)
    figure.legend(loc="outside lower center", ncols=len(systems), fontsize="small")
    return figure


def hover_products(table: pd.DataFrame, title: str) -> go.Figure:
    """Every product ID to hover over: AUC and pAUC, h and p, role, seed, by machine type."""
    figure = go.Figure()
    for system in systems_in(table):
        rows = of_system(table, system, None)
        value = 200 / (1 / rows.AUC + 1 / rows.pAUC)
        text = [
            f"{row.machine_type} ID {row.product} ({row.role}), seed {row.seed}<br>AUC "
            f"{100 * row.AUC:.1f} %, pAUC {100 * row.pAUC:.1f} %<br>h: {row.inlier}, p = {row.p}"
            for row in rows.rename(columns={"size": "p"}).itertuples()
        ]
        figure.add_box(
            x=rows.machine_type, y=value, name=system, text=text, boxpoints="all", jitter=0.4,
            pointpos=0, fillcolor="rgba(0,0,0,0)", line={"color": "rgba(0,0,0,0)"},
            marker={"color": VARIANT_COLOURS[system], "size": 6},
            hovertemplate="%{text}<extra>" + system + "</extra>", hoveron="points",
        )  # fmt: skip
    return plain(figure, title).update_layout(
        boxmode="group", yaxis_title="harmonic mean of AUC and pAUC (%)"
    )


def forest(differences: pd.DataFrame, title: str):
    """Differences with their 95 % intervals: a panel a compared system, a line a machine type."""
    systems = differences.minus.unique()
    names = list(differences.machine_type.unique())
    columns = min(len(systems), 4)
    rows = -(-len(systems) // columns)
    figure, axes = plt.subplots(
        rows, columns, sharey=True, sharex=True, squeeze=False,
        figsize=(1.6 + 2.8 * columns, 0.6 + (0.8 + 0.32 * len(names)) * rows),
    )  # fmt: skip
    for ax in axes.flat[len(systems) :]:
        ax.set_axis_off()
    for ax, system in zip(axes.flat, systems, strict=False):
        part = differences[differences.minus == system].set_index("machine_type").reindex(names)
        for y, (name, row) in enumerate(part.iterrows()):
            ax.plot(
                [row.low, row.high], [y, y], color=VARIANT_COLOURS[system],
                linewidth=4 if name == ALL else 1.8, solid_capstyle="butt",
            )  # fmt: skip
            ax.plot(row.difference, y, MARKERS[system], color=VARIANT_COLOURS[system])
        ax.axvline(0, color="0.4", linewidth=1)
        against = differences.system.iloc[0]
        ax.set(xlabel="difference (points)", title=f"{against} minus {system}")
    axes[0][0].set_yticks(range(len(names)), names)
    axes[0][0].invert_yaxis()
    figure.suptitle(title, fontsize="medium")
    return figure


def in_words(differences: pd.DataFrame) -> str:
    """The differences over all machine types as Markdown sentences."""
    lines = []
    over_all = differences[differences.machine_type == ALL]
    for row in over_all.rename(columns={"product IDs": "n"}).itertuples():
        verdict = "the interval contains 0: no clear difference"
        if row.low > 0:
            verdict = f"{row.system} is better"
        elif row.high < 0:
            verdict = f"{row.minus} is better"
        interval = f"95 % interval {row.low:+.1f} to {row.high:+.1f}"
        if pd.isna(row.low):
            interval, verdict = "no interval", "too few product IDs to draw from"
        lines.append(
            f"- **{row.system} minus {row.minus}**: {row.difference:+.1f} points "
            f"({interval}, {row.n} product IDs); {verdict}."
        )
    return "\n".join(lines)


def provenance_of(runs: list[Run], notebook: str, **more) -> Markdown:
    """The provenance line of a page over several runs, and the command that makes it again.

    ``more`` are the notebook's own parameters that no run records, such as ``data_dir``.
    """
    line = origin(collect(runs), "Provenance")
    first = runs[0].params
    # as they stand in the runs, and not whatever else there is by the time somebody runs it
    shown = {
        f"{name}s": list(dict.fromkeys(run.params[name] for run in runs))
        for name in ("machine_type", "variant", "seed")
    }
    if notebook == "embedding":
        shown["seed"] = shown.pop("seeds")[0]
    shown["profile"] = first["profile_name"]
    changed = {run.params["machine_type"]: run.params["overrides"] for run in runs}
    shown |= {"overrides": changed} if any(changed.values()) else {}
    command = papermill_command(notebook, {"corpus": first["corpus"]} | shown | more)
    return Markdown(
        f"**Provenance.** {line.removeprefix('Provenance: ')}; {len(runs)} runs.\n\n"
        f"Made again, from the run folders, by:\n\n```\n{command}\n```"
    )


def beside_trivial(table: pd.DataFrame, corpus: str, data_dir=None) -> pd.DataFrame:
    """Proposed method, all IDs, beside the trivial detectors: a row each, a column a machine type.

    The last column is the harmonic mean over the machine types that have runs.
    """
    ours = wide(table, None).loc[["proposed"]]
    types = [name for name in ours.columns if name != ALL]
    _, banks = open_corpus(corpus, data_dir, progress=False)
    profile = make_profile(table.profile.iloc[0], types[0])
    found = trivial_table({name: banks[name] for name in types}, profile)
    rows = found.pivot(index="detector", columns="machine_type", values="value")
    rows = rows.reindex(columns=types).assign(**{ALL: hmean(rows[types], axis=1)})
    return pd.concat([ours, rows])
