"""What captions say of results; and where a page comes from, with the command that makes it."""

import ast
import json
import os
import shlex
import time
from pathlib import Path

import pandas as pd
import yaml
from IPython.display import Markdown

from asdstudy import paths
from asdstudy.runs.provenance import DECISIVE, STAMP, provenance, stamp
from asdstudy.words import counted

BEGUN = time.perf_counter()  # of the page that imports this: its wall time counts from here

CORPORA = {
    "simulated": "simulated sound",
    "uav": "recordings of a drone",
    "mimii-mini": "recordings from MIMII",
    "dcase2021": "DCASE 2021 Task 2",
}

# what tables and charts call the names of an index, and a machine type
AXES = {"product": "product ID", "machine_type": "machine type", "corpus": "sound"}
LABELS = {"uav": "drone"}


def sound_of(corpus: str) -> str:
    """Whose sound a corpus holds, in words for a caption."""
    if corpus.startswith(("simulated", "similarity")):
        return CORPORA["simulated"]
    return CORPORA.get(corpus, f"the corpus {corpus}")


def about(table: pd.DataFrame) -> str:
    """Whose sound, which profile and which seeds a table of results is of."""
    sounds = ", ".join(dict.fromkeys(map(sound_of, table.corpus)))
    return f"{sounds}, {made_with(table)}"


def made_with(table: pd.DataFrame) -> str:
    """Which profile and which seeds a table of results is of.

    Systems that learn nothing have a single seed, which does not count beside those that learn.
    """
    seeds = sorted(table.seed.unique())
    counts = table.groupby("variant").seed.nunique()
    counts = sorted(set(counts[counts > 1])) or [len(seeds)]
    between = " or " if len(counts) == 2 else " to "
    few = f"{counts[0]}{between}" if len(counts) > 1 else ""
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{few}{counts[-1]} seeds"
    has_changed = table.overrides != "{}"
    where = "" if has_changed.all() else " in some rows"
    changed = f" with changed fields{where}" if has_changed.any() else ""
    return f"{', '.join(table.profile.unique())} profile{changed}, {which}"


def over_seeds(rows: pd.DataFrame) -> str:
    """What a caption says of means by ``tables.SPREAD``: nothing if there is a single seed."""
    return ", mean ± SD over seeds" if rows.seed.nunique() > 1 else ""


def by_type(rows: pd.DataFrame) -> str:
    """What a caption says of values by machine type: nothing if there is a single one."""
    return ", by machine type" if rows.machine_type.nunique() > 1 else ""


def intervals(differences: pd.DataFrame) -> str:
    """What a caption says of differences by ``tables.BOUNDED``: nothing if none has an interval."""
    return ", with 95 % intervals" if differences.low.notna().any() else ""


def about_run(params: dict) -> str:
    """:func:`about` a single run, from its record."""
    return about(_row(params))


def _row(params: dict) -> pd.DataFrame:
    """A run as a row of a table of results, from its record."""
    seconds = None if params.get("resumed") else params.get("wall_seconds")
    row = {"profile": params["profile_name"], "overrides": json.dumps(params["overrides"])}
    return pd.DataFrame([params | row | {"wall_seconds": seconds}])


def comparable(table: pd.DataFrame) -> str:
    """A sentence: whether results may be compared with the paper's, or why not.

    Only runs on DCASE 2021 in the paper profile, without overrides, may.
    """
    reasons = [
        *(sound_of(name) for name in {*table.corpus} - {"dcase2021"}),
        *(f"{name} profile" for name in {*table.profile} - {"paper"}),
        *(["fields of the profile overridden"] if (table.overrides != "{}").any() else []),
    ]
    if not reasons:
        return "These runs can be compared with the paper's numbers."
    return f"These runs cannot be compared with the paper's numbers ({', '.join(reasons)})."


def captioned(table: pd.DataFrame, caption: str, form: str | dict | None = None):
    """A table with a caption, styled for the book; ``form`` as in ``Styler.format``."""
    table = table.rename_axis(index=AXES).rename(index=LABELS, columns=LABELS)
    caption = caption.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")  # as in the text
    look = table.style.set_caption(caption).set_table_attributes('class="dataframe"')
    return look.format(form, na_rep="-", precision=2)


def origin(table: pd.DataFrame, source: str) -> str:
    """Where a table comes from: its ``source``, and what the records of its runs say."""
    keys = ["corpus", "machine_type", "variant", "seed", *STAMP, "wall_seconds"]
    runs = table[keys].drop_duplicates().assign(finished=table.finished.str[:10])
    names = ("corpus", "fingerprint", "profile", "seed", "commit", "versions", "device", "threads")
    facts = {n: ", ".join(map(str, sorted(runs[n].unique()))) for n in (*names, "finished")}
    first, *others = map(json.loads, runs.overrides.unique())  # those of all runs
    shared = [i for i in sorted(first.items()) if all(i in other.items() for other in others)]
    said = ", ".join(f"{name} = {value}" for name, value in shared)
    if any(other != first for other in others):
        said = f"{said} in all runs, the others differ" if said else "they differ by setting"
    facts["overrides"] = said or "none"
    timed = runs.wall_seconds.dropna()  # a run that was resumed has none
    facts["wall time"] = f"{timed.sum():.0f} s for {counted(len(timed), 'run')}"
    return f"{counted(len(runs), 'run')}, {source}: {_listed(facts)}"


def origin_of_run(params: dict) -> str:
    """:func:`origin` of a single run, from its record."""
    return origin(_row(params).assign(**stamp(params)), "this one")


def origin_of_page(sound: str) -> str:
    """The same for a page without runs, on some ``sound``; its time counts from its imports."""
    facts = provenance()
    facts["versions"] = " ".join(f"{name} {facts['versions'][name]}" for name in DECISIVE)
    facts["wall time"] = f"{time.perf_counter() - BEGUN:.0f} s"
    return f"{sound}; {_listed(facts)}"


def _listed(facts: dict) -> str:
    return "; ".join(f"{name} {value}" for name, value in facts.items())


def parameters_of_runs(table: pd.DataFrame) -> dict:
    """The parameters of a page that shows the runs of a table, even when there are more by then."""
    lists = {f"{n}s": table[n].unique().tolist() for n in ("machine_type", "variant", "seed")}
    return {n: table[n].iloc[0] for n in ("corpus", "profile")} | lists


PLACES = ("data_dir", "folder", "out_dir")  # parameters that are paths


def where_from(notebook: str, names: dict, *origins: str, **changes) -> Markdown:
    """The foot of every page, folded: where it comes from, and the command that reproduces it.

    ``names`` are the notebook's ``globals()``, which hold its parameters and, in ``In``, the cells
    that have run; ``changes`` replace some of the parameters, or add to them. The command leaves
    out a place that is "", the default.
    """
    own = next(filter(None, map(_typed_names, names["In"])))
    parameters = {name: names[name] for name in own} | changes
    values = {
        name: shown_path(value) if name in PLACES else value
        for name, value in parameters.items()
        if value or name not in PLACES
    }
    sources = ". ".join(dict.fromkeys(origins))
    # flow style is YAML on one line, and unlike JSON it keeps 1e-06 a number for papermill
    line = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=10**6).strip()
    command = shlex.join(["papermill", f"notebooks/{notebook}.ipynb", "out.ipynb", "-y", line])
    return Markdown(
        f"<details><summary>Where this page comes from</summary>\n\n**Provenance.** {sources}."
        f"\n\nTo reproduce this page:\n\n```\n{command}\n```\n\n</details>"
    )


def _typed_names(code: str) -> list[str]:
    """The names that a cell sets by typed assignments, if it holds nothing else."""
    try:
        lines = ast.parse(code).body
    except SyntaxError:  # IPython's own commands
        return []
    is_typed = all(isinstance(line, ast.AnnAssign) for line in lines)
    return [line.target.id for line in lines] if is_typed else []


def shown_path(path) -> str:
    """A path as a page shows it: relative to the project's root, if it is below or beside it.

    Any other path is only its last name: readers need not see where a computer keeps its files.
    """
    relative = Path(os.path.relpath(os.path.abspath(path), paths.project_root()))
    return f"path/to/{relative.name}" if relative.parts[:2] == ("..", "..") else relative.as_posix()
