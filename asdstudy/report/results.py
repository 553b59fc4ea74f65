"""The one table of results, which every table and figure of the book is drawn from.

A row is a run, a product ID and an h: corpus, machine_type, variant and seed; product, role; inlier
(h), size (p) and chosen; AUC and pAUC, 0 to 1; what the run cost; its profile and the stamp of its
record. In the table of a study that turns something, more columns say how that stood.

    asd collect simulated runs/simulated/collected.csv --seeds 0,1,2

makes one of finished runs.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pandas as pd

from asdlib.errors import InputError
from asdstudy import paths
from asdstudy.report.captions import shown_path
from asdstudy.runs.provenance import STAMP, stamp
from asdstudy.runs.run import Run
from asdstudy.runs.sweeps import Job, sweep

TABLE_II = (  # the proposed method and its rivals, and what learns nothing
    "proposed", "ddcsad", "serial", "parallel", "ae", "classifier", "spectrum", "spectrum, kNN",
)  # fmt: skip
TABLE_III = (  # the ablation, and more of its kind
    "proposed", "no-mixup", "without h", "product-only", "machine-only", "no-norm-head",
)  # fmt: skip
SYSTEMS = (*TABLE_III, *TABLE_II[1:], "level")
# A system is a variant, scored by the chosen h; but these by one that is named.
SCORED_BY = {
    "without h": ("proposed", "none"),
    "spectrum, kNN": ("spectrum", "kNN"),
    "level": ("spectrum", "output"),  # how far a clip's level is from the usual one
}
COSTS = ("models", "parameters", "wall_seconds", "cpu_seconds")
RUN = ["corpus", "machine_type", "variant", "profile", "seed"]


class Results(NamedTuple):
    """A table of results, if there is one, and what a caption calls its source."""

    table: pd.DataFrame | None
    source: str


def run_rows(run: Run) -> pd.DataFrame:
    """The rows of a run: by product ID and h."""
    params = run.params
    keys = {name: params[name] for name in ("corpus", "machine_type", "variant", "seed")}
    costs = {"models": params.get("models", 1), "parameters": params.get("parameters")}
    costs |= {clock: run.seconds(clock) for clock in COSTS[2:]}
    areas = run.metrics[["product", "role", "inlier", "size", "chosen", "AUC", "pAUC"]]
    rows = areas.assign(**keys, **costs, profile=params["profile_name"], **stamp(params))
    return rows[[*keys, *areas, *COSTS, "profile", *STAMP]]


def collect(runs: Sequence[Run], labels: Sequence[dict] = ()) -> pd.DataFrame:
    """The table of some runs; ``labels``, a dict for each run, become its first columns.

    Raises :class:`InputError` where none of them has a labelled test clip.
    """
    parts = [run_rows(run) for run in runs]
    for rows, columns in zip(parts, labels, strict=False):
        for name, value in reversed(columns.items()):
            rows.insert(0, name, value)
    parts = [rows for rows in parts if len(rows)]
    if not parts:
        raise InputError(f"{runs[0].folder}: no labelled test clips, in no run: no AUC to show")
    return pd.concat(parts, ignore_index=True)


def untrained(
    corpus: str, machine_types: Sequence[str], profile: str, data_dir=None
) -> pd.DataFrame:
    """The table of what learns nothing, ``spectrum`` and ``level``: made now, and kept nowhere.

    It has no seed, and takes a second or two for a machine type.
    """
    shared = {"corpus": corpus, "profile": profile, "data_dir": data_dir, "variant": "spectrum"}
    with TemporaryDirectory() as folder:
        shared["out_dir"] = folder
        jobs = [Job(shared | {"machine_type": name}) for name in machine_types]
        return collect(sweep(jobs, workers=1, progress=False))


def save(table: pd.DataFrame, path: Path) -> Path:
    """Write a table, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    table.round({"AUC": 5, "pAUC": 5}).to_csv(part, index=False)
    return part.replace(path)


def read(path) -> pd.DataFrame:
    """A table of :func:`save`."""
    words = dict.fromkeys(("product", "overrides", "threads"), str)
    empty = dict.fromkeys(("AUC", "pAUC", *COSTS), "")
    return pd.read_csv(path, dtype=words, keep_default_na=False, na_values=empty)


def fresh_path(study: str) -> Path:
    """Where a study of this checkout leaves its table."""
    return paths.runs_dir() / study / "table.csv"


def of_study(study: str, jobs: Sequence[Job], fresh: bool = False, workers: int = 0) -> Results:
    """A study's table: of a sweep of this checkout, else the one in ``book/measured``.

    With ``fresh`` the ``jobs`` are run first (resumed where they stopped), ``workers`` at a time
    (0: as many as there are cores). Of the table the rows of the runs that ``jobs`` stand for: the
    parameters of a page choose what it shows. Raises :class:`InputError` where there is no table,
    and where it has none of these runs.
    """
    if fresh:
        runs = sweep(jobs, workers or None)
        save(collect(runs, [job.labels for job in jobs]), fresh_path(study))
    committed = paths.measured_dir() / f"{study}.csv"
    for path, source in ((fresh_path(study), "a fresh sweep"), (committed, "book/measured")):
        if path.exists():
            return Results(_of_jobs(read(path), jobs, path), source)
    raise InputError(f"{committed}: no such table; expected one, or a fresh one by: make {study}")


def _of_jobs(table: pd.DataFrame, jobs: Sequence[Job], path: Path) -> pd.DataFrame:
    wanted = pd.DataFrame(
        [{n: job.arguments[n] for n in RUN if n in job.arguments} | job.labels for job in jobs]
    ).drop_duplicates()
    rows = table.merge(wanted)
    if rows.empty:
        has = "; ".join(f"{name} {', '.join(map(str, table[name].unique()))}" for name in wanted)
        raise InputError(f"{path}: none of the runs that the page names; it has {has}")
    return rows


def several_seeds(corpus: str, measured="", out_dir=None) -> Results:
    """The table of several seeds: ``measured``, else what `make seeds` left, else the committed."""
    if measured:
        return Results(read(measured), f"Measured beforehand, in `{shown_path(measured)}`")
    made = Path(out_dir or paths.runs_dir()) / corpus / "collected.csv"
    if made.exists():
        return Results(read(made), "Measured beforehand, here, by `make seeds`")
    committed = paths.measured_dir() / "seeds.csv"
    table = read(committed) if committed.exists() else None
    return Results(table, "Measured beforehand, the table is committed with the book")


def widest(fresh: pd.DataFrame, several: Results) -> Results:
    """Of this build's runs and a table of several seeds, the one with more; fresh ones go first.

    The other table counts only if it is of the same corpus, profile and overrides and has all of
    the machine types and variants; it then shows those machine types, and all variants it has. The
    source says so where the sound of this build is not the very same.
    """
    if several.table is not None:
        same = several.table.merge(fresh[["corpus", "profile", "overrides"]].drop_duplicates())
        same = same[same.machine_type.isin(fresh.machine_type.unique())]
        has_all = all(set(fresh[name]) <= set(same[name]) for name in ("machine_type", "variant"))
        if has_all and same.seed.nunique() > fresh.seed.nunique():
            other = " (its sound is not that of this build: another fingerprint)"
            is_same = set(same.fingerprint) == set(fresh.fingerprint)
            return Results(same, several.source + ("" if is_same else other))
    return Results(fresh, "Runs of this build")


def systems(table: pd.DataFrame, names: Sequence[str] = SYSTEMS) -> pd.DataFrame:
    """The rows of some systems, in their order, with a column ``system``.

    A row belongs to two where the h that a system is named for is also the chosen one.
    """
    parts = []
    for name in names:
        variant, inlier = SCORED_BY.get(name, (name, None))
        is_its = table.chosen if inlier is None else table.inlier == inlier
        parts.append(table[(table.variant == variant) & is_its].assign(system=name))
    return pd.concat(parts, ignore_index=True)
