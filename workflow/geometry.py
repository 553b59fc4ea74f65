"""Where the embeddings of stored runs lie: norms, and how near anomalies are to other machines."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from asdstudy.report.maps import closeness
from asdstudy.runs.provenance import stamp
from asdstudy.runs.run import Run


def geometry(run: Run) -> pd.DataFrame:
    """:func:`closeness` of a run, with the median norm of the clips of other machines.

    ``collapsed`` says whether Eq. 2 had collapsed at the end of training.
    """
    others = run.embedded["others"].embeddings.mean(axis=1)
    norm = np.median(np.linalg.norm(others, axis=1))
    keys = {name: run.params[name] for name in ("corpus", "machine_type", "variant", "seed")}
    collapsed = any(sentence.startswith("collapse") for sentence in run.params["warnings"])
    rows = closeness(run).assign(**{"median norm of others": norm}).round(4)
    about = {"collapsed": collapsed, **stamp(run.params)}
    return rows.assign(**keys, **about)[[*keys, *rows, *about]]


def table(runs: Sequence[Run], labels: Sequence[dict]) -> pd.DataFrame:
    """:func:`geometry` of some runs; ``labels``, a dict for each run, become columns."""
    parts = [geometry(run).assign(**of) for run, of in zip(runs, labels, strict=True)]
    return pd.concat(parts, ignore_index=True)
