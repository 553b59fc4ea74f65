"""The tables of the pages: systems, choices and costs."""

import re

import pandas as pd
from IPython.display import Markdown

from asdlib.profiles import TABLE_I
from asdstudy.report.captions import about_run, captioned
from asdstudy.report.paper import ALL, in_paper_order
from asdstudy.report.statistics import by_type, over_seeds
from asdstudy.runs.run import Run

# what a cell shows of a line of over_seeds, of levels or of differences
SPREAD = "{mean:.1f} ± {sd:.1f}"
LEVEL = "{mean:.1f} [{low:.1f}, {high:.1f}]"
BOUNDED = "{difference:+.1f} [{low:.1f}, {high:.1f}]"


def in_cells(
    summary: pd.DataFrame, rows: list[str], columns: list[str], form: str = ""
) -> pd.DataFrame:
    """Lines of ``over_seeds``, ``levels`` or ``differences`` as a table of ``rows`` by ``columns``.

    Rows and columns keep their order. A cell holds the mean, or text by a ``form`` such as
    ``SPREAD``, in which a single seed has no spread and no interval.
    """
    keys = {name: pd.Categorical(summary[name], summary[name].unique()) for name in rows + columns}
    if form:
        words = [form.format(**line) for line in summary.to_dict("records")]
        words = [re.sub(r" (± nan|\[nan, nan\])", "", text) for text in words]
    cells = [text.replace("nan", "-") for text in words] if form else summary["mean"]
    table = summary.assign(**keys, cell=cells).pivot(index=rows, columns=columns, values="cell")
    return table.fillna("-") if form else table


def by_system(
    rows: pd.DataFrame,
    role: str | None = "test",
    form: str = "",
    measure: str = "harmonic mean",
) -> pd.DataFrame:
    """Our Tables II and III: systems by machine types and all, means over seeds or by ``form``."""
    summary = over_seeds(by_type(rows, role, measure), ["system", "machine_type"])
    table = in_cells(summary, ["system"], ["machine_type"], form)
    table = table[sorted(table, key=in_paper_order)]
    if rows.machine_type.nunique() == 1:  # over all is the same
        table = table.drop(columns=ALL)
    if measure == "mean AUC":
        table = table.rename(columns={ALL: "All"})  # the paper's name is of the harmonic mean
    return plain(table)


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """A table of :func:`in_cells` without the names of its axes, which a page need not show."""
    return table.set_axis(list(table.index)).set_axis(list(table), axis=1)


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """Networks of each system for one machine type, their parameters, and its CPU seconds.

    Seconds are of whole runs, from decoded clips to scores; runs without a recorded time do not
    count. CPU time and not the clock's, because runs share a computer.
    """
    groups = rows.drop_duplicates(["system", "machine_type", "seed"]).groupby("system", sort=False)
    sizes = groups[["models", "parameters"]].max()
    table = sizes.join(groups.cpu_seconds.agg(["mean", "std", "count"])).rename_axis(index=None)
    names = ["networks", "parameters", "CPU seconds", "SD over runs", "runs timed"]
    return table.set_axis(names, axis=1)


def epochs(history: pd.DataFrame) -> pd.DataFrame:
    """The losses of the last epoch and of the one with the smallest validation loss, as columns.

    ``history`` is that of a run; systems with several networks have a row per epoch and network.
    """
    history = history.drop(columns="product", errors="ignore")
    smallest = history[history.validation_loss == history.validation_loss.min()]
    both = {"smallest validation loss": smallest.head(1), "last": history.tail(1)}
    return pd.concat(both).droplevel(1).T.rename(lambda name: name.replace("_", " "))


def result_table(run: Run):
    """AUC and pAUC in % by product ID (rows) and h (columns), below their harmonic means.

    If no test clip has a label, a sentence says so.
    """
    if not len(run.metrics):
        return Markdown("**No labels, no AUC.** The test clips are scored; the scores are below.")
    areas = run.metrics.assign(AUC=run.metrics.AUC * 100, pAUC=run.metrics.pAUC * 100)
    areas["ID"] = "ID " + areas["product"] + " (" + areas.role + ")"
    table = areas.pivot(index=["inlier", "size"], columns="ID", values=["AUC", "pAUC"])
    table = table.swaplevel(axis=1).sort_index(axis=1)
    means = {role: [100 * run.result(h, role) for h, _ in table.index] for role in ("test", None)}
    table.insert(0, ("harmonic mean", "test IDs"), means["test"])
    table.insert(1, ("harmonic mean", "all IDs"), means[None])
    table = table.T.set_axis([f"{h}, p = {p}" if p else h for h, p in table.index], axis=1)
    table = table.rename_axis(index=[None, None])
    whose = f"{run.params['machine_type']}, {run.params['variant']}"
    return captioned(table, f"AUC and pAUC in %: {whose}, {about_run(run.params)}", "{:.1f}")


def chosen_inliers(runs: list[Run]) -> pd.DataFrame:
    """Which h and p each run chose, what chose them, and what the paper's Table I has.

    The columns GMM, LOF and none hold the harmonic mean in % on the validation IDs, by the best p
    of that h.
    """
    lines = []
    for run in runs:
        params, choice = run.params, run.params["choice"]
        tried = pd.DataFrame(choice["candidates"], columns=["inlier", "validation"])
        best = 100 * tried.astype({"validation": float}).groupby("inlier").validation.max()
        paper = TABLE_I.get(params["machine_type"], {})
        lines.append(
            {"type": params["machine_type"]}
            | {name: params[name] for name in ("variant", "seed")}
            | {"h, p": f"{choice['inlier']}, {choice['sizes'][choice['inlier']] or '-'}"}
            | {"chosen by": choice["chosen_by"]}
            | {name: best.get(name) for name in ("GMM", "LOF", "none")}
            | {"paper": f"{paper['inlier']}, {paper['inlier_size']}" if paper else "-"}
        )
    return pd.DataFrame(lines)
