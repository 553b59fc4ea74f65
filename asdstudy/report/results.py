"""The one table of results, from which every table and figure of the book is drawn.

It has one row per run, product ID and h: corpus, machine_type, variant and seed; product, role;
inlier (h), size (p) and chosen; AUC and pAUC, 0 to 1, and the AUC by domain where runs test both;
what the run cost; its profile and the stamp of its record. The table of a sweep has more columns,
for the settings that it varies.

    asd collect simulated results.csv --seeds 0,1,2

makes one from finished runs.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from asdlib.errors import InputError, one_of
from asdstudy import paths
from asdstudy.report.statistics import choose_in_folds
from asdstudy.runs.evaluation import NUMBERS
from asdstudy.runs.provenance import STAMP, stamp
from asdstudy.runs.run import Run

TABLE_II = (  # the proposed method and its rivals
    "proposed", "ddcsad", "serial", "parallel", "ae", "classifier", "spectrum", "spectrum, kNN",
)  # fmt: skip
TABLE_III = (  # the ablation, and two more of its kind
    "proposed", "no-mixup", "without h", "product-only", "machine-only", "no-norm-head",
)  # fmt: skip
SYSTEMS = (*TABLE_III, *TABLE_II[1:], "level")
# A system is a variant scored by the chosen h, but these are scored by a fixed one.
SCORED_BY = {
    "without h": ("proposed", "none"),
    "spectrum, kNN": ("spectrum", "kNN"),
    "level": ("spectrum", "output"),  # how far a clip's level is from the usual one
}
COSTS = ("models", "parameters", "wall_seconds", "cpu_seconds")
RUN = ["corpus", "machine_type", "variant", "profile", "seed"]


def run_rows(run: Run, folds: bool = False) -> pd.DataFrame:
    """The rows of one run, by product ID and h; ``folds`` as in :func:`collect`."""
    params = run.params
    keys = {name: params[name] for name in ("corpus", "machine_type", "variant", "seed")}
    costs = {"models": params.get("models", 1), "parameters": params.get("parameters")}
    costs |= {clock: run.seconds(clock) for clock in COSTS[2:]}
    areas = run.metrics[["product", "role", "inlier", "size", "chosen", *areas_in(run.metrics)]]
    if folds and len(areas):
        among = run.profile.candidates if run.profile.inlier == "auto" else ()
        areas = choose_in_folds(run.candidates, among)[areas.columns]
    rows = areas.assign(**keys, **costs, **stamp(params))
    return rows[[*keys, *areas, *COSTS, *STAMP]]


def collect(
    runs: Sequence[Run], labels: Sequence[dict] = (), folds: Sequence[str] = ()
) -> pd.DataFrame:
    """The table of some runs; ``labels``, a dict for each run, become its first columns.

    On the corpora ``folds``, h and p are chosen in two folds over product IDs, and all of these are
    test IDs; see :func:`~asdstudy.report.statistics.choose_in_folds`. Raises :class:`InputError` if
    no test clip of any run has a label.
    """
    parts = [run_rows(run, run.params["corpus"] in folds) for run in runs]
    for rows, columns in zip(parts, labels, strict=False):
        for name, value in reversed(columns.items()):
            rows.insert(0, name, value)
    parts = [rows for rows in parts if len(rows)]
    if not parts:
        raise InputError(f"{runs[0].folder}: no run has labelled test clips, so there is no AUC")
    return pd.concat(parts, ignore_index=True)


def areas_in(table: pd.DataFrame) -> list[str]:
    """The columns of a table that are areas."""
    return [name for name in NUMBERS if name in table and "AUC" in name]


def untrained(
    corpus: str, machine_types: Sequence[str], profile: str, data_dir=None
) -> pd.DataFrame:
    """The table of ``spectrum`` and ``level``, which take a second per machine type."""
    from asdstudy.runs.sweeps import Job, sweep  # brings torch

    shared = {"corpus": corpus, "profile": profile, "data_dir": data_dir, "variant": "spectrum"}
    with TemporaryDirectory() as folder:
        jobs = [Job(shared | {"machine_type": t, "out_dir": folder}) for t in machine_types]
        return collect(sweep(jobs, workers=1, progress=False))


def save(table: pd.DataFrame, path: Path) -> Path:
    """Write a table; never leave half of it."""
    paths.make_folder(path.parent)
    if path.is_dir():
        raise InputError(f"{path}: is a folder; expected the name of a file")
    with paths.replacing(path) as part:
        table.round(dict.fromkeys(areas_in(table), 5)).to_csv(part, index=False)
    return path


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """The table without facts of a run that the row above has, too; :func:`read` fills them in."""
    facts = table.filter(STAMP)
    return table.assign(**facts.mask(facts == facts.shift(), ""))


def read(path) -> pd.DataFrame:
    """A table of :func:`save`, :func:`thinned` or not."""
    words = dict.fromkeys(("product", "overrides", "threads"), str)
    empty = dict.fromkeys((*NUMBERS, *COSTS), "")
    table = pd.read_csv(path, dtype=words, keep_default_na=False, na_values=empty)
    facts = table.filter(STAMP)
    return table.assign(**facts.mask(facts == "").ffill())


def measured(*studies: str) -> pd.DataFrame:
    """The committed tables of some studies, such as "ablation", of all sounds that have one.

    Raises :class:`InputError` if there is none.
    """
    folder = paths.measured_dir()
    files = paths.tables_of(folder, *studies)
    if not files:
        raise InputError(
            f"{folder}: no table of {' or '.join(studies)}; expected those of a checkout, in which "
            "`make evidence` measures them again"
        )
    return pd.concat(map(read, files), ignore_index=True)


def only(table: pd.DataFrame, **names: Sequence[str]) -> pd.DataFrame:
    """The rows of some machine types, variants, ...: ``names`` by column, none of them for all.

    Raises :class:`InputError` for what is no list of words, and for a name that is not there.
    """
    for column, chosen in names.items():
        if not isinstance(chosen, list | tuple) or {type(name) for name in chosen} - {str}:
            raise InputError(f"{column}: {chosen!r}; expected a list of words")
        chosen = [paths.composed(name) for name in chosen]
        for name in chosen:
            one_of(column, name, list(table[column].unique()))
        table = table[table[column].isin(chosen or table[column].unique())]
    return table


def systems(table: pd.DataFrame, names: Sequence[str] = SYSTEMS) -> pd.DataFrame:
    """The rows of some systems, in their order, with a column ``system``.

    A row belongs to two systems if the fixed h of one is also the chosen h.
    """
    parts = []
    for name in names:
        variant, inlier = SCORED_BY.get(name, (name, None))
        is_its = table.chosen if inlier is None else table.inlier == inlier
        parts.append(table[(table.variant == variant) & is_its].assign(system=name))
    return pd.concat(parts, ignore_index=True)
