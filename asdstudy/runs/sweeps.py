"""Sweeps: many runs, in parallel, resumed where they stopped, told as one tidy table."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import torch
from IPython.display import Markdown
from joblib import Parallel, delayed
from scipy.stats import t as student
from tqdm import tqdm

from asdlib.errors import InputError
from asdstudy import paths
from asdstudy.report.captions import papermill_command
from asdstudy.runs.provenance import STAMP, stamp
from asdstudy.runs.run import Run, execute

PINNED = "versions as pinned by that commit's constraints.txt"  # where a table records none


@dataclass(frozen=True)
class Job:
    """One run of a sweep: ``arguments`` of :func:`.run.execute`, and what it stands for.

    ``labels`` become columns of the table, such as ``{"switch": "normalisation", "value": "own"}``.
    """

    arguments: dict
    labels: dict = field(default_factory=dict)


def jobs_of(variants: Sequence[str], seeds: Sequence[int], **arguments) -> list[Job]:
    """A job for each variant and seed, all with the same other ``arguments``."""
    return [
        Job({**arguments, "variant": variant, "seed": seed})
        for variant in variants
        for seed in seeds
    ]


def sweep(jobs: Iterable[Job], workers: int | None = None, progress: bool = True) -> pd.DataFrame:
    """Run all jobs, ``workers`` (the cores there are) at a time with one torch thread each.

    A finished run of the same parameters and sound is not run again, so that a sweep that was
    stopped goes on. Returns :func:`tidy` rows in the order of the jobs.
    """
    jobs = list(jobs)
    workers = workers or os.cpu_count() or 1
    # Processes of their own: torch, BLAS and OpenMP each would take all cores otherwise.
    done = Parallel(workers, backend="loky", inner_max_num_threads=1, return_as="generator")(
        delayed(_run)(job.arguments) for job in jobs
    )
    bar = tqdm(done, total=len(jobs), desc="sweep", unit="run", mininterval=5, disable=not progress)
    rows = [tidy(Run(folder), job.labels) for folder, job in zip(bar, jobs, strict=True)]
    return pd.concat(rows, ignore_index=True)


def _run(arguments: dict) -> Path:
    torch.set_num_threads(1)
    if arguments.get("profile", "quick") == "quick":  # as many processes would crowd a GPU
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return execute(**arguments, reuse=True, progress=False).folder


def tidy(run: Run, labels: dict | None = None) -> pd.DataFrame:
    """A row for each h and role ("validation", "test", "all" IDs) of a run.

    Columns: the labels; corpus, machine_type, variant, profile, seed; inlier, size (p), chosen;
    role, products (how many IDs), value (harmonic mean of AUC and pAUC in %); then provenance.
    """
    params = run.params
    rows = []
    for inlier, part in run.metrics.groupby("inlier", sort=True):
        for role in ("validation", "test", "all"):
            found = part if role == "all" else part[part.role == role]
            if len(found):
                value = 100 * run.result(inlier, None if role == "all" else role)
                rows.append(
                    {
                        **(labels or {}),
                        **{k: params[k] for k in ("corpus", "machine_type", "variant")},
                        "profile": params["profile_name"],
                        "seed": params["seed"],
                        "inlier": inlier,
                        "size": int(found["size"].iloc[0]),
                        "chosen": bool(found.chosen.iloc[0]),
                        "role": role,
                        "products": len(found),
                        "value": round(value, 3),
                        **stamp(params),
                        "wall_seconds": run.seconds("wall_seconds"),
                    }
                )
    return pd.DataFrame(rows)


def fresh_table(study: str) -> Path:
    """Where a sweep of this checkout leaves its table: ``runs/<study>/table.csv``."""
    return paths.runs_dir() / study / "table.csv"


def save_table(table: pd.DataFrame, study: str) -> Path:
    """Write a study's table to :func:`fresh_table`, whole or not at all."""
    path = fresh_table(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    table.to_csv(part, index=False)
    return part.replace(path)


def load_table(study: str, jobs: Sequence[Job] = ()) -> tuple[pd.DataFrame, str]:
    """A study's table and where it comes from: a fresh sweep, else ``book/measured``.

    Of the table the runs that ``jobs`` stand for, where any are given: the parameters of a page
    choose what it shows without a sweep of its own, too. Raises :class:`InputError` where there is
    no table, and where it has none of these runs.
    """
    measured = paths.measured_dir() / f"{study}.csv"
    for path, origin in ((fresh_table(study), "a fresh sweep"), (measured, "book/measured")):
        if path.exists():
            table = pd.read_csv(path, keep_default_na=False, na_values={"wall_seconds": ""})
            return (_of_jobs(table, jobs, path) if jobs else table), origin
    raise InputError(f"{measured}: no such table; expected one, or a fresh one by: make {study}")


def _of_jobs(table: pd.DataFrame, jobs: Sequence[Job], path: Path) -> pd.DataFrame:
    names = ("corpus", "machine_type", "variant", "profile", "seed")
    asked = pd.DataFrame(
        [{n: job.arguments[n] for n in names if n in job.arguments} | job.labels for job in jobs]
    )
    asked = asked[[name for name in asked if name in table]]  # early tables lack some labels
    found = table.merge(asked.drop_duplicates())
    if found.empty:
        has = "; ".join(f"{name} {', '.join(map(str, table[name].unique()))}" for name in asked)
        raise InputError(f"{path}: none of the runs asked for; it has {has}")
    return found


def origin_line(table: pd.DataFrame, origin: str) -> str:
    """What a caption must say of a study: where its numbers are from, how many runs, by what."""
    told = [name for name in (*STAMP, "wall_seconds") if name in table]  # early tables lack some
    runs = table[["corpus", "machine_type", "variant", "profile", "seed", *told]].drop_duplicates()
    marks = dict.fromkeys(zip(runs.corpus, runs.fingerprint, strict=True))
    corpora = ", ".join(f"{corpus} (fingerprint `{mark}`)" for corpus, mark in marks)
    days = sorted(runs.finished.str[:10].unique())
    return (
        f"Drawn from {origin}: {len(runs)} runs, seeds {_listed(runs.seed)}; "
        f"{_listed(runs.profile)} profile{_shared_overrides(runs)}; {corpora}; commit "
        f"{_listed(runs.commit)}; {versions_of(runs)}; {wall_time(runs)}; finished "
        f"{' to '.join(dict.fromkeys((days[0], days[-1])))}."
    )


def _listed(values: pd.Series) -> str:
    return ", ".join(map(str, sorted(values.unique())))


def versions_of(runs: pd.DataFrame) -> str:
    """The versions that a table records, by run; of an early one, where they are written down."""
    if "versions" not in runs:
        return PINNED
    return _listed(runs.versions.replace("", PINNED))


def wall_time(runs: pd.DataFrame) -> str:
    """The wall time of a table's runs (a row a run); resumed ones have none of their whole."""
    known = runs.wall_seconds.dropna()
    left_out = f" ({len(runs) - len(known)} without a recorded time left out)"
    return (
        f"{known.sum():.0f} s of wall time of whole runs, summed"
        f"{left_out if len(known) < len(runs) else ''}"
    )


def provenance_of(table: pd.DataFrame, origin: str, study: str, parameters: dict, more: str = ""):
    """The provenance line of a study's page, and the command that measures it anew.

    ``parameters`` are the page's own by name, but ``fresh``; ``more`` is said after the line.
    """
    command = papermill_command(study, {"fresh": True} | parameters)
    return Markdown(
        f"**Provenance.** {origin_line(table, origin)} {more}\n\nMeasured anew by `make {study}` "
        f"with the notebook's defaults, or with the parameters of this page by:\n\n"
        f"```\n{command}\n```"
    )


def _shared_overrides(runs: pd.DataFrame) -> str:
    """The overrides that all runs have; what only some have is what their labels stand for."""
    if "overrides" not in runs:
        return ""
    fields = [json.loads(told) for told in runs.overrides.unique() if told]
    shared = {
        name: value
        for name, value in (fields[0] if fields else {}).items()
        if all(name in other and other[name] == value for other in fields)
    }
    return "".join(f", {name} = {value}" for name, value in shared.items())


def interval(values: pd.Series, level: float = 0.95) -> pd.Series:
    """Mean, sample standard deviation, count and Student's t interval of independent values."""
    count, mean, spread = len(values), values.mean(), values.std(ddof=1)
    half = (
        student.ppf((1 + level) / 2, count - 1) * spread / count**0.5 if count > 1 else float("nan")
    )
    return pd.Series(
        {"mean": mean, "sd": spread, "n": count, "low": mean - half, "high": mean + half}
    )


def gains(table: pd.DataFrame, system: str, within=("dial", "setting")) -> pd.DataFrame:
    """Value of ``system`` minus that of every other variant, paired by sound, seed and labels.

    ``within`` are the columns of labels that set runs apart, if there are any.
    """
    keys = ["corpus", *within, "machine_type", "seed"]
    wide = table.pivot(index=keys, columns="variant", values="value")
    others = wide.columns.drop(system)
    gain = wide[others].rsub(wide[system], axis=0)
    return gain.melt(ignore_index=False, var_name="against", value_name="gain").reset_index()


def changes(table: pd.DataFrame) -> pd.DataFrame:
    """Within each corpus, machine type and seed: every setting's value minus the default's."""
    keys = ["corpus", "machine_type", "seed"]
    default = table[table.switch == "default"].set_index(keys).value
    flipped = table[table.switch != "default"].set_index(keys)
    change = flipped.value - default.reindex(flipped.index)
    return flipped.assign(change=change).reset_index()[[*keys, "switch", "setting", "change"]]


def summarise(table: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """:func:`interval` of ``value`` over seeds, a row a group."""
    grouped = table.groupby(by, sort=False)[value]
    return grouped.apply(interval).unstack().reset_index().astype({"n": int})


def verdict(summary: pd.DataFrame, of: str = "against") -> str:
    """In words: where the interval lies above zero, below it, or across it, out of how many."""
    lines = []
    for name, part in summary.groupby(of, sort=False):
        above, below = int((part.low > 0).sum()), int((part.high < 0).sum())
        lines.append(
            f"- {of} **{name}**: of {len(part)} intervals {above} lie above zero, {below} below, "
            f"{len(part) - above - below} across it; mean difference {part['mean'].mean():+.1f} "
            "points."
        )
    return "\n".join(lines)


def mean_and_sd(summary: pd.DataFrame, columns: str, rows: str) -> pd.DataFrame:
    """A summary laid out as "mean ± sd (n)" in words, ``rows`` by ``columns``."""
    words = [
        f"{mean:.1f} ± {sd:.1f} (n = {n})"
        for mean, sd, n in summary[["mean", "sd", "n"]].itertuples(index=False)
    ]
    wide = summary.assign(words=words).pivot(index=rows, columns=columns, values="words")
    return wide.reindex(summary[rows].unique()).fillna("-")


def with_interval(summary: pd.DataFrame, rows: list[str], columns: list[str]) -> pd.DataFrame:
    """A summary laid out as "mean [low, high]" in words, ``rows`` by ``columns``."""
    words = [
        f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
        for mean, low, high in summary[["mean", "low", "high"]].itertuples(index=False)
    ]
    wide = summary.assign(words=words).pivot(index=rows, columns=columns, values="words")
    order = summary[rows].drop_duplicates().apply(tuple, axis=1)
    return wide.reindex(pd.MultiIndex.from_tuples(order, names=rows)).fillna("-")


def markdown(table: pd.DataFrame, inliers=("GMM", "LOF", "none")) -> str:
    """Mean and standard deviation over seeds by variant (rows) and h (columns), as Markdown."""
    summary = summarise(table[table.role == "all"], ["variant", "inlier"], "value")
    wide = mean_and_sd(summary, "inlier", "variant")[list(inliers)]
    lines = ["| variant | " + " | ".join(f"*h* = {h}" for h in inliers) + " |"]
    lines.append("|---" * (len(inliers) + 1) + "|")
    for name, row in wide.iterrows():
        lines.append(f"| {name} | " + " | ".join(row) + " |")
    return "\n".join(lines)
