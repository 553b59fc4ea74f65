"""What a caption must say: whose sound it is, where a page comes from, and what makes it again."""

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

KINDS = {
    "simulated": "simulated sound",
    "uav": "real recordings (uav, not DCASE)",
    "dcase2021": "DCASE 2021 Task 2",
}


def kind_of(params: dict) -> str:
    """What a caption must say of a run: whose sound it is, the profile and the seed."""
    corpus = kind_of_corpus(params["corpus"])
    changed = " with overrides" if params["overrides"] else ""
    return f"{corpus}, {params['profile_name']} profile{changed}, seed {params['seed']}"


def kind_of_corpus(corpus: str) -> str:
    """Whose sound it is; every corpus of the simulator's own notebooks is named as simulated."""
    if corpus.startswith(("simulated", "similarity")):
        return KINDS["simulated"]
    return KINDS.get(corpus, f"the corpus {corpus}")


def captioned(table: pd.DataFrame, caption: str, form: str | dict | None = None):
    """A table under its caption, in the look of the book; ``form`` as for ``Styler.format``."""
    look = table.style.set_caption(caption).set_table_attributes('class="dataframe"')
    return look.format(form, na_rep="-") if form else look


PLACES = ("data_dir", "uav_dir", "out_dir", "measured")  # parameters that are paths


def papermill_command(notebook: str, parameters: dict) -> str:
    """The command, from the project's root, that executes a notebook with these parameters.

    Words and numbers are told one by one, as long as papermill reads the same from them; lists and
    the like in one mapping. A place that is "" is the notebook's default, and left out.
    """
    given = {
        name: shown_path(value) if name in PLACES else value
        for name, value in parameters.items()
        if value or name not in PLACES
    }
    plain = {name: value for name, value in given.items() if _is_plain(value)}
    words = ["papermill", f"notebooks/{notebook}.ipynb", "out.ipynb"]
    for name, value in plain.items():
        words += ["-p", name, str(value)]
    if rest := {name: value for name, value in given.items() if name not in plain}:
        # flow style is YAML on one line, and unlike JSON it keeps 1e-06 a number for papermill
        told = yaml.safe_dump(rest, default_flow_style=True, sort_keys=False, width=10**6)
        words += ["-y", told.strip()]
    return shlex.join(words)


def _is_plain(value) -> bool:
    """Whether papermill reads the value back from its words; a text like "00" becomes a number."""
    if not isinstance(value, str):
        return isinstance(value, bool | int | float)
    try:
        float(value)
    except ValueError:
        return value not in ("True", "False", "None")
    return False


def shown_path(path) -> str:
    """A path as a page tells it: from the project's root where it is below or beside it.

    Of any other place the last name only: where a computer keeps its files is not for readers.
    """
    told = Path(os.path.relpath(os.path.abspath(path), paths.project_root()))
    return f"path/to/{told.name}" if told.parts[:2] == ("..", "..") else told.as_posix()


def provenance_line(params: dict, notebook: str = "train", **places) -> Markdown:
    """Corpus and fingerprint, profile, seed, commit, versions, wall time, and the command.

    ``places`` are the notebook's own ``data_dir`` and ``out_dir``: no part of a run's record.
    """
    names = ("corpus", "machine_type", "variant", "profile_name", "seed")
    given = {name.removesuffix("_name"): params[name] for name in names} | params["overrides"]
    seconds = f"{params['wall_seconds']} s" + " since it was resumed" * params.get("resumed", False)
    what = f"{kind_of(params)}; corpus fingerprint `{params['fingerprint']}`"
    return _provenance(what, params, seconds, papermill_command(notebook, given | places))


def page_provenance(notebook: str, parameters: dict, fingerprint: str = "") -> Markdown:
    """The same of a page that has no run, from its own ``parameters`` by name.

    ``fingerprint`` is that of the corpus; a page whose parameters name none needs none.
    """
    what = [kind_of_corpus(parameters["corpus"]) if "corpus" in parameters else "needs no corpus"]
    what += [f"{parameters['profile']} profile"] if "profile" in parameters else []
    what += [f"seed {parameters['seed']}"]
    told = ", ".join(what) + (f"; corpus fingerprint `{fingerprint}`" if fingerprint else "")
    seconds = f"{time.perf_counter() - BEGUN:.0f} s"
    return _provenance(told, provenance(), seconds, papermill_command(notebook, parameters))


def _provenance(what: str, record: dict, seconds: str, command: str) -> Markdown:
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    return Markdown(
        f"**Provenance.** {what}; commit `{record['commit']}`; {versions}; {record['device']}, "
        f"{record['threads']} threads, {seconds} of wall time; finished {record['finished']}.\n\n"
        f"Made again by:\n\n```\n{command}\n```"
    )
