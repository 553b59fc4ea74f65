"""Tables of the pages: of systems, choices and costs, laid out and under their captions."""

import re

import pandas as pd
from IPython.display import Markdown

from asdlib.profiles import TABLE_I
from asdstudy.report.captions import about_run, captioned, comparable
from asdstudy.report.paper import ALL, MACHINE_TYPES, in_paper_order
from asdstudy.report.statistics import by_type, costs, over_seeds
from asdstudy.runs.run import Run

# How a line of over_seeds reads in a cell.
SPREAD = "{mean:.1f} ± {sd:.1f}"
COUNTED = "{mean:.1f} ± {sd:.1f} (n = {n})"
BOUNDED = "{mean:+.1f} [{low:+.1f}, {high:+.1f}]"


def best_in_bold(table: pd.DataFrame, caption: str):
    """A table of results in %, the best of each column in bold, under its caption."""
    results = [name for name in table if name != "#models"]
    look = captioned(table, caption, dict.fromkeys(results, "{:.2f}"))
    return look.highlight_max(props="font-weight: bold", subset=results)


def in_cells(summary: pd.DataFrame, rows: list[str], columns: list[str], form: str = ""):
    """A summary over seeds as ``rows`` by ``columns``, in the order that they have in it.

    A cell is the mean, or in words by a ``form`` such as ``SPREAD``; of what a single seed cannot
    tell, the spread or an interval, there is nothing in it.
    """
    keys = {name: pd.Categorical(summary[name], summary[name].unique()) for name in rows + columns}
    cells = summary["mean"]
    if form:
        words = (form.format(**line) for line in summary.to_dict("records"))
        cells = [re.sub(r" (± nan|\[.nan, .nan\])", "", text).replace("nan", "-") for text in words]
    table = summary.assign(**keys, cell=cells).pivot(index=rows, columns=columns, values="cell")
    return table.fillna("-") if form else table


def by_system(rows: pd.DataFrame, role: str | None = "test", form: str = "") -> pd.DataFrame:
    """Our Table III: systems by machine types and all, in %, means over seeds or by ``form``."""
    summary = over_seeds(by_type(rows, role), ["system", "machine_type"])
    table = in_cells(summary, ["system"], ["machine_type"], form)
    table = table[sorted(table, key=in_paper_order)]
    return table.set_axis(list(table.index)).set_axis(list(table), axis=1)


def cost_table(rows: pd.DataFrame, caption: str):
    """:func:`~asdstudy.report.statistics.costs` under their caption."""
    table = costs(rows)
    return captioned(table, caption, dict.fromkeys(table, "{:,.0f}"))


def paper_beside_ours(paper: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The paper's value, our mean and spread on test IDs, n, and whether they can be compared."""
    ours = over_seeds(by_type(rows), ["system", "machine_type"])
    ours = ours[ours.system.isin(paper.index)].sort_values("system", kind="stable")
    published = paper.stack().rename("paper: value").rename_axis(["system", "machine_type"])
    both = ours.join(published, on=["system", "machine_type"])
    names = {"mean": "ours: mean", "sd": "ours: SD", "n": "ours: n seeds"}
    columns = ["system", "machine_type", "paper: value", *names.values()]
    both = both.rename(columns=names)[columns].assign(comparable=comparable(rows))
    if set(rows.machine_type) != set(MACHINE_TYPES):
        both.loc[both.machine_type == ALL, "comparable"] = "no: not over the paper's machine types"
    return both


def result_table(run: Run):
    """AUC and pAUC in % by h (rows) and product ID (columns), and their harmonic mean, captioned.

    A sentence instead where no test clip has a label.
    """
    if not len(run.metrics):
        return Markdown("**No labels, no AUC.** The test clips are scored; the scores are below.")
    percent = run.metrics.assign(AUC=run.metrics.AUC * 100, pAUC=run.metrics.pAUC * 100)
    names = percent["product"].radd("ID ") + " (" + percent.role + ")"
    table = percent.assign(ID=names).pivot(index=["inlier", "size"], columns="ID")[["AUC", "pAUC"]]
    table = table.swaplevel(axis=1).sort_index(axis=1)
    means = {role: [100 * run.result(h, role) for h, _ in table.index] for role in ("test", None)}
    table.insert(0, ("harmonic mean", "test IDs"), means["test"])  # what a narrow page shows first
    table.insert(1, ("harmonic mean", "all IDs"), means[None])
    table = table.rename_axis(index=["h", "p"], columns=["", ""])
    return captioned(table, f"AUC and pAUC in %: {about_run(run.params)}", "{:.1f}")


def chosen_inliers(runs: list[Run]) -> pd.DataFrame:
    """Which h and p each run chose, what chose them, and what the candidates reached.

    The harmonic means are those of the validation IDs in %, by the best p of each h.
    """
    lines = []
    for run in runs:
        choice, params = run.params["choice"], run.params
        tried = pd.DataFrame(choice["candidates"], columns=["inlier", "validation"])
        best = 100 * tried.astype({"validation": float}).groupby("inlier").validation.max()
        paper = TABLE_I.get(params["machine_type"], {})
        lines.append(
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
    return pd.DataFrame(lines)


def changed_fields(variants: dict[str, dict]) -> pd.DataFrame:
    """What each variant changes of the profile, a column a variant, a row a field."""
    words = {
        name: {
            field: ", ".join(v) if isinstance(v, tuple) else str(v) for field, v in fields.items()
        }
        for name, fields in variants.items()
    }
    return pd.DataFrame.from_dict(words, orient="index").T.fillna("")
