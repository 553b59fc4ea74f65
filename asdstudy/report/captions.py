"""What a caption must say: whose sound it is, where a page comes from, and what makes it again."""

import json
import os
import shlex
import time
from pathlib import Path

import pandas as pd
import yaml
from IPython.display import Markdown

from asdstudy import paths
from asdstudy.runs.provenance import provenance

BEGUN = time.perf_counter()  # of the page that imports this: its wall time counts from here

CORPORA = {
    "simulated": "simulated sound",
    "uav": "real recordings (uav, not DCASE)",
    "dcase2021": "DCASE 2021 Task 2",
}


def sound_of(corpus: str) -> str:
    """Whose sound it is; every corpus of the simulator's own notebooks is named as simulated."""
    if corpus.startswith(("simulated", "similarity")):
        return CORPORA["simulated"]
    return CORPORA.get(corpus, f"the corpus {corpus}")


def about(table: pd.DataFrame) -> str:
    """What a caption must say of a table of results: whose sound, the profile, which seeds."""
    seeds = sorted(table.seed.unique())
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    changed = " with overrides" if is_overridden(table) else ""
    sounds = ", ".join(dict.fromkeys(map(sound_of, table.corpus)))
    return f"{sounds}, {', '.join(table.profile.unique())} profile{changed}, {which}"


def about_run(params: dict) -> str:
    """The same of a run, by its record."""
    overrides = json.dumps(params["overrides"])
    record = {"profile": params["profile_name"], "overrides": overrides}
    record |= {name: params[name] for name in ("corpus", "seed")}
    return about(pd.DataFrame([record]))


def is_overridden(table: pd.DataFrame) -> bool:
    """Whether any of the runs had a field of its profile changed."""
    return (table.overrides != "{}").any()


def comparable(table: pd.DataFrame) -> str:
    """Whether results may be set against the paper's: DCASE 2021 and the paper's own setting only.

    An override of a field of the profile is another setting.
    """
    corpora, profiles = set(table.corpus), set(table.profile)
    reasons = [
        *("simulated sound" if name == "simulated" else name for name in corpora - {"dcase2021"}),
        *(f"{name} profile" for name in profiles - {"paper"}),
        *(["fields of the profile overridden"] if is_overridden(table) else []),
    ]
    return f"no: {', '.join(reasons)}" if reasons else "yes"


def captioned(table: pd.DataFrame, caption: str, form: str | dict | None = None):
    """A table under its caption, in the look of the book; ``form`` as for ``Styler.format``."""
    look = table.style.set_caption(caption).set_table_attributes('class="dataframe"')
    return look.format(form, na_rep="-") if form else look


# Where a page comes from


def origin(table: pd.DataFrame, source: str) -> str:
    """One line for under a table: how many runs of what, by which code, when and for how long."""
    record = ["fingerprint", "overrides", "commit", "device", "versions", "finished"]
    keys = ["corpus", "machine_type", "variant", "profile", "seed", *record, "wall_seconds"]
    runs = table[keys].drop_duplicates()
    each = {name: ", ".join(map(str, sorted(runs[name].unique()))) for name in keys}
    corpora = runs[["corpus", "fingerprint"]].drop_duplicates().itertuples(index=False)
    sounds = ", ".join(f"{corpus} (fingerprint `{mark}`)" for corpus, mark in corpora)
    timed = runs.wall_seconds.dropna()
    untimed = f" ({len(runs) - len(timed)} without a recorded time left out)"
    days = sorted({runs.finished.min()[:10], runs.finished.max()[:10]})
    return (
        f"{source}: {len(runs)} runs, seeds {each['seed']}; "
        f"{each['profile']} profile{_shared_overrides(runs)}; {sounds}; commit {each['commit']}; "
        f"{each['versions']}; {timed.sum():.0f} s of wall time of whole runs, summed"
        f"{untimed if len(timed) < len(runs) else ''}, device {each['device']}; "
        f"finished {' to '.join(days)}"
    )


def _shared_overrides(runs: pd.DataFrame) -> str:
    """The overrides that all runs have; what only some have is what their labels stand for."""
    first, *others = map(json.loads, runs.overrides.unique())
    shared = [item for item in first.items() if all(item in other.items() for other in others)]
    return "".join(f", {name} = {value}" for name, value in shared)


def origin_of_run(params: dict) -> str:
    """The same of a single run, by its record."""
    seconds = f"{params['wall_seconds']} s" + (" since it was resumed" if params["resumed"] else "")
    mark = f"corpus fingerprint `{params['fingerprint']}`"
    return _origin(f"{about_run(params)}; {mark}", params, seconds)


def origin_of_page(parameters: dict, fingerprint: str = "") -> str:
    """The same of a page without runs, by its own ``parameters``, such as corpus and seed.

    ``fingerprint`` is that of the corpus; a page whose parameters name none needs none.
    """
    what = [sound_of(parameters["corpus"]) if "corpus" in parameters else "needs no corpus"]
    what += [f"{parameters['profile']} profile"] if "profile" in parameters else []
    what += [f"seed {parameters['seed']}"]
    mark = f"; corpus fingerprint `{fingerprint}`" if fingerprint else ""
    return _origin(", ".join(what) + mark, provenance(), f"{time.perf_counter() - BEGUN:.0f} s")


def _origin(what: str, record: dict, seconds: str) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return (
        f"{what}; commit `{record['commit']}`; {versions}; {record['device']}, "
        f"{record['threads']} threads, {seconds} of wall time; finished {record['finished']}"
    )


def where_from(origin: str, notebook: str, parameters: dict) -> Markdown:
    """The foot of every page: its origin, and the command that makes it again."""
    how = "Made again by"
    if "fresh" in parameters:  # otherwise the page draws from a table
        how = f"Measured anew by `make {notebook}`, or with the parameters of this page by"
    command = papermill_command(notebook, parameters)
    return Markdown(f"**Provenance.** {origin}.\n\n{how}:\n\n```\n{command}\n```")


def parameters_of_run(params: dict) -> dict:
    """The parameters of the notebook `train`, by a run's record."""
    names = ("corpus", "machine_type", "variant", "seed")
    return {n: params[n] for n in names} | {"profile": params["profile_name"]} | params["overrides"]


def parameters_of_runs(table: pd.DataFrame) -> dict:
    """Those of a page over the runs of a table, as they are, and not what there is later on."""
    lists = {f"{n}s": table[n].unique().tolist() for n in ("machine_type", "variant", "seed")}
    return {n: table[n].iloc[0] for n in ("corpus", "profile")} | lists


PLACES = ("data_dir", "uav_dir", "out_dir", "measured")  # parameters that are paths


def papermill_command(notebook: str, parameters: dict) -> str:
    """The command, from the project's root, that executes a notebook with these parameters.

    A place that is "" is the notebook's default, and left out.
    """
    values = {
        name: shown_path(value) if name in PLACES else value
        for name, value in parameters.items()
        if value or name not in PLACES
    }
    # flow style is YAML on one line, and unlike JSON it keeps 1e-06 a number for papermill
    line = yaml.safe_dump(values, default_flow_style=True, sort_keys=False, width=10**6).strip()
    return shlex.join(["papermill", f"notebooks/{notebook}.ipynb", "out.ipynb", "-y", line])


def shown_path(path) -> str:
    """A path for a page: from the project's root where it is below or beside it.

    Of any other place the last name only: where a computer keeps its files is not for readers.
    """
    relative = Path(os.path.relpath(os.path.abspath(path), paths.project_root()))
    return f"path/to/{relative.name}" if relative.parts[:2] == ("..", "..") else relative.as_posix()
