"""Studies: many runs as one tidy table, the paper's tables as data, and differences with intervals.

    python -m asdstudy.report.studies simulated book/measured/seeds.csv --seeds 0 1 2

collects finished runs into a table that can be committed: a row a run, product ID and h, with
where it comes from.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from asdlib.errors import InputError, one_of
from asdstudy import paths
from asdstudy.report.captions import kind_of_corpus, shown_path
from asdstudy.report.paper import ALL, MACHINE_TYPES
from asdstudy.runs.provenance import stamp
from asdstudy.runs.run import Run, find_runs
from asdstudy.runs.sweeps import versions_of, wall_time

# A system of Tables II and III is a variant, scored by the chosen h or by a named one.
SYSTEMS = {
    "proposed": ("proposed", None),
    "no-mixup": ("no-mixup", None),
    "without h": ("proposed", "none"),
    "product-only": ("product-only", None),
    "machine-only": ("machine-only", None),
    "no-norm-head": ("no-norm-head", None),
    "ddcsad": ("ddcsad", None),
    "serial": ("serial", None),
    "parallel": ("parallel", None),
    "ae": ("ae", None),
    "classifier": ("classifier", None),
    "spectrum": ("spectrum", None),
    "spectrum, kNN": ("spectrum", "kNN"),
}
TABLE_II = ("proposed", *list(SYSTEMS)[6:])  # the proposed method and its rivals
TABLE_III = tuple(SYSTEMS)[:6]  # the ablation, and more of its kind
ROLES = {"test": "test IDs", None: "all IDs"}
COSTS = ("models", "parameters", "wall_seconds", "cpu_seconds")


def run_rows(run: Run) -> pd.DataFrame:
    """A run as rows of the tidy table: its metrics by product ID and h, and its provenance."""
    params = run.params
    origin = {"profile": params["profile_name"]} | stamp(params)
    costs = {"models": params.get("models", 1), "parameters": params.get("parameters")}
    costs |= {clock: run.seconds(clock) for clock in COSTS[2:]}
    keys = {name: params[name] for name in ("corpus", "machine_type", "variant", "seed")}
    table = run.metrics[["product", "role", "inlier", "size", "chosen", "AUC", "pAUC"]]
    return table.assign(**keys, **costs, **origin)[[*keys, *table.columns, *COSTS, *origin]]


def in_paper_order(machine_type: str) -> tuple:
    """A key to sort by: the machine types as in the paper's tables, then all others by name."""
    known = machine_type in MACHINE_TYPES
    return (MACHINE_TYPES.index(machine_type) if known else len(MACHINE_TYPES), machine_type)


def collect(runs: Sequence[Run]) -> pd.DataFrame:
    """The tidy table of some runs: a row a run, product ID and h.

    Raises :class:`InputError` where none of them has a labelled test clip.
    """
    parts = [rows for rows in map(run_rows, runs) if len(rows)]
    if not parts:
        raise InputError(f"{runs[0].folder}: no labelled test clips, in no run: no AUC to show")
    return pd.concat(parts, ignore_index=True)


def read_measured(path) -> pd.DataFrame | None:
    """A committed table of :func:`collect`; None where there is none."""
    if not path or not Path(path).exists():
        return None
    return pd.read_csv(
        path, dtype={"product": str, "overrides": str}, keep_default_na=False,
        na_values=dict.fromkeys(("AUC", "pAUC", *COSTS), ""),
    )  # fmt: skip


class Source(NamedTuple):
    """A tidy table, if there is one, and what to call it in a caption."""

    table: pd.DataFrame | None
    source: str


def collected_path(corpus: str, out_dir=None) -> Path:
    """Where `make seeds` leaves its table of a corpus."""
    return Path(out_dir or paths.runs_dir()) / corpus / "collected.csv"


def seeds_table(corpus: str, measured="", out_dir=None) -> Source:
    """The table of several seeds: ``measured``, else one made here, else the committed one."""
    if measured:
        return Source(read_measured(measured), f"Measured beforehand, in `{shown_path(measured)}`")
    made = collected_path(corpus, out_dir)
    if made.exists():
        return Source(read_measured(made), "Measured beforehand, here, by `make seeds`")
    committed = paths.measured_dir() / "seeds.csv"
    return Source(
        read_measured(committed), "Measured beforehand, the table is committed with the book"
    )


def widest(fresh: pd.DataFrame, several: Source) -> Source:
    """Of this build's runs and a table of several seeds, the one with more; fresh ones go first.

    The other table counts only if it is of the same corpus, profile and overrides and has all of
    the machine types and variants; it then shows those machine types, and all variants it has. The
    source says so where the sound of this build is not the very same.
    """
    measured, source = several
    if measured is not None:
        types = list(fresh.machine_type.unique())
        same = measured.merge(fresh[["corpus", "profile", "overrides"]].drop_duplicates())
        same = same[same.machine_type.isin(types)]
        has_all = all(set(fresh[name]) <= set(same[name]) for name in ("machine_type", "variant"))
        if has_all and same.seed.nunique() > fresh.seed.nunique():
            if set(same.fingerprint) != set(fresh.fingerprint):
                source += " (its sound is not that of this build: another fingerprint)"
            return Source(same, source)
    return Source(fresh, "Runs of this build")


def of_system(table: pd.DataFrame, system: str, role: str | None = "test") -> pd.DataFrame:
    """The rows of a system of Table III: its variant, by the chosen h or by its own."""
    one_of("system", system, SYSTEMS)
    variant, inlier = SYSTEMS[system]
    rows = table[(table.variant == variant) & (table.role == role if role else True)]
    return rows[rows.chosen if inlier is None else rows.inlier == inlier]


def systems_in(table: pd.DataFrame) -> list[str]:
    """The systems of Tables II and III, and beyond, that a table has rows of."""
    return [name for name in SYSTEMS if len(of_system(table, name, None))]


def only(table: pd.DataFrame, systems: Sequence[str]) -> pd.DataFrame:
    """The rows of some systems, such as ``TABLE_II``."""
    kept = [of_system(table, system, None).index for system in systems]
    return table.loc[sorted(set().union(*kept))]


def costs(table: pd.DataFrame) -> pd.DataFrame:
    """By system: networks and parameters for a machine type, and CPU seconds, mean and spread.

    Of whole runs, from decoded clips on: training, embedding, fitting, scoring. CPU time, not the
    clock's, because runs go side by side; where a run has none in the table, it is left out.
    """
    rows = {}
    for system in systems_in(table):
        runs = of_system(table, system, None)
        runs = runs.drop_duplicates(["machine_type", "variant", "seed"])
        seconds = runs.cpu_seconds.dropna()
        rows[system] = {
            "networks": runs.models.max(),
            "parameters": runs.parameters.max(),
            "CPU seconds": seconds.mean(),
            "SD": seconds.std(),
            "runs": len(seconds),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def harmonic_means(rows: pd.DataFrame) -> pd.DataFrame:
    """Harmonic means of AUC and pAUC in %: a row a seed, a column a machine type, and all.

    "All" is over all machine types and product IDs, as the last column of Tables II and III.
    """
    values = rows.melt(["seed", "machine_type"], ["AUC", "pAUC"], value_name="area").dropna()
    inverse = (1 / values.area.clip(lower=1e-9)).groupby([values.seed, values.machine_type])
    table = (100 / inverse.mean()).unstack()
    over_all = 100 / (1 / values.area.clip(lower=1e-9)).groupby(values.seed).mean()
    return table[sorted(table, key=in_paper_order)].assign(**{ALL: over_all})


def summary(table: pd.DataFrame, role: str | None = "test") -> pd.DataFrame:
    """Tables II and III of ours, long: system, machine type (or all), mean, spread (SD), n.

    A system that lacks a machine type of the others has no mean over all.
    """
    parts = []
    types = sorted(table.machine_type.unique(), key=in_paper_order)
    for system in systems_in(table):
        means = harmonic_means(of_system(table, system, role))
        if len(means.columns) <= len(types):
            means[ALL] = np.nan
        means = means.reindex(columns=[*types, ALL])
        parts.append(
            pd.DataFrame({"mean": means.mean(), "spread": means.std(), "n": means.count()})
            .rename_axis("machine_type")
            .reset_index()
            .assign(system=system)
        )
    return pd.concat(parts, ignore_index=True)


def wide(table: pd.DataFrame, role: str | None = "test") -> pd.DataFrame:
    """Our Table III: systems by machine types and all, means over seeds in %."""
    long = summary(table, role)
    return (
        long.pivot(index="system", columns="machine_type", values="mean")
        .loc[long.system.unique(), long.machine_type.unique()]
        .rename_axis(index=None, columns=None)
    )


def paper_beside_ours(paper: pd.DataFrame, table: pd.DataFrame, role="test") -> pd.DataFrame:
    """The paper's value, our mean and spread, n, and whether the two can be compared."""
    ours = summary(table, role).rename(columns={"mean": "ours: mean", "spread": "ours: SD"})
    ours = ours[ours.system.isin(paper.index)]
    known = paper.stack().rename("paper: value").rename_axis(["system", "machine_type"])
    both = ours.join(known, on=["system", "machine_type"]).rename(columns={"n": "ours: n seeds"})
    columns = ["system", "machine_type", "paper: value", "ours: mean", "ours: SD", "ours: n seeds"]
    both = both[columns].assign(comparable=comparable(table))
    if set(table.machine_type) != set(MACHINE_TYPES):
        both.loc[both.machine_type == ALL, "comparable"] = "no: not over the paper's machine types"
    return both


def comparable(table: pd.DataFrame) -> str:
    """Whether results may be set against the paper's: DCASE 2021 and the paper's own setting only.

    An override of a field of the profile is another setting.
    """
    corpora, profiles = set(table.corpus), set(table.profile)
    why = [
        *("simulated sound" if name == "simulated" else name for name in corpora - {"dcase2021"}),
        *(f"{name} profile" for name in profiles - {"paper"}),
        *(["fields of the profile overridden"] if overridden(table) else []),
    ]
    return f"no: {', '.join(why)}" if why else "yes"


def overridden(table: pd.DataFrame) -> bool:
    """Whether any of the runs had a field of its profile changed."""
    return "overrides" in table and not table.overrides.isin(["{}", ""]).all()  # "": not recorded


def kind(table: pd.DataFrame) -> str:
    """What a caption must say of a table: whose sound, the profile, how many seeds."""
    corpora = ", ".join(dict.fromkeys(kind_of_corpus(name) for name in table.corpus))
    seeds = sorted(int(seed) for seed in table.seed.unique())
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    changed = " with overrides" if overridden(table) else ""
    return f"{corpora}, {', '.join(table.profile.unique())} profile{changed}, {which}"


def origin(table: pd.DataFrame, source: str) -> str:
    """One line for under a table: what was run, on what, by which code, and for how long."""
    stamps = {
        name: ", ".join(table[name].astype(str).unique())
        for name in ("fingerprint", "commit", "device")
    }
    runs = table.drop_duplicates(["machine_type", "variant", "seed"])
    return (
        f"{source}: {kind(table)}; fingerprint `{stamps['fingerprint']}`; commit "
        f"`{stamps['commit']}`; {versions_of(runs)}; {wall_time(runs)}, on {stamps['device']}; "
        f"last run {table.finished.max()}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: ``python -m asdstudy.report.studies --help``."""
    parser = argparse.ArgumentParser(prog="python -m asdstudy.report.studies", description=__doc__)
    parser.add_argument("corpus")
    parser.add_argument("out", type=Path, help="the CSV file to write")
    parser.add_argument("--machine-types", nargs="+", default=())
    parser.add_argument("--variants", nargs="+", default=())
    parser.add_argument("--seeds", nargs="+", type=int, default=())
    parser.add_argument("--out-dir", help="root of the run folders")
    parser.add_argument("--profile", default="", help="of the runs; empty: the only one there is")
    parser.add_argument("--overrides", type=json.loads, help="fields by machine type, as JSON")
    given = parser.parse_args(arguments)
    which = (given.corpus, given.machine_types, given.variants, given.seeds, given.out_dir)
    table = collect(find_runs(*which, given.profile, given.overrides))
    table = only(table, SYSTEMS)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    table.round({"AUC": 5, "pAUC": 5}).to_csv(given.out, index=False)


if __name__ == "__main__":
    main()
