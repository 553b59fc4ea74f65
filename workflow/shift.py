"""What finished runs say of sound that was recorded in other conditions than they were trained in.

Nothing is trained: the detector of a run scores clips as `asd score` does.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed

from asdlib import metrics
from asdstudy.data import corpora
from asdstudy.data.inputs import read_clip
from asdstudy.runs.provenance import STAMP, stamp
from asdstudy.use.detector import Detector


def judged(folder: Path, change: str, corpus: Path, domain: str) -> pd.DataFrame:
    """The run in ``folder`` on the test clips of a ``corpus`` and ``domain``, by product ID.

    Beside AUC and pAUC there are the shares of normal and of anomalous clips above the run's gamma
    threshold: ``false alarms``, wanted to be 0.1, and ``detected``.
    """
    detector = Detector(folder)
    params = detector.run.params
    clips = corpora.index(corpus, [params["machine_type"]], domain=domain)
    clips = clips[clips.split == "test"]
    verdicts = [detector.verdict(read_clip(c.path), c.product) for c in clips.itertuples()]
    clips = clips.assign(score=[v.score for v in verdicts], above=[v.anomalous for v in verdicts])
    above = clips.astype({"above": float}).pivot_table("above", "product", "label")
    above = above.rename(columns={"normal": "false alarms", "anomaly": "detected"}).reset_index()
    rows = metrics.table(clips).merge(above, on="product").round(5)
    chooses = rows["product"].isin(metrics.validation_products(params["products"]))
    rows.insert(1, "role", chooses.map({True: "validation", False: "test"}))
    keys = {name: params[name] for name in ("corpus", "machine_type", "variant", "seed")}
    return rows.assign(change=change, **keys, **stamp(params))[["change", *keys, *rows, *STAMP]]


def table(runs: Sequence, changes: dict[str, tuple], workers: int | None = None) -> pd.DataFrame:
    """:func:`judged` of some runs; ``changes`` names the corpus and domain of each condition."""
    tasks = [
        delayed(judged)(run.folder, *(c, *where)) for run in runs for c, where in changes.items()
    ]
    return pd.concat(Parallel(workers or -1, inner_max_num_threads=1)(tasks), ignore_index=True)
