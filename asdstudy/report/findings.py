"""What came out for each claim of the paper, on each sound."""

from collections.abc import Sequence

import pandas as pd

from asdlib.metrics import validation_products
from asdstudy.report import results, statistics, tables
from asdstudy.report.paper import ALL, PAPER_SYSTEMS

CLAIMS = {  # what the proposed method is compared with
    "Machine loss (Eq. 2) helps": "product-only",
    "Product loss (Eq. 1) helps": "machine-only",
    "Mixup helps": "no-mixup",
    "Inlier model (h) helps": "without h",
    "Better than DDCSAD": "ddcsad",
    "Better than the earlier serial method": "serial",
    "Better than the parallel method": "parallel",
    "Better than the average spectrum (kNN)": "spectrum, kNN",
    "Better than the average spectrum (Mahalanobis)": "spectrum",
    "Better than the level alone": "level",
}
SOUNDS = {"simulated": "simulated", "mimii-mini": "MIMII", "uav": "drone"}
PAPER = "paper (DCASE 2021)"
ANSWERS = {"helps": "yes", "hurts": "no, the reverse", "cannot tell": "cannot tell"}


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """How far the proposed method leads what each claim compares it with, by sound, in mean AUC.

    One line per claim and sound, over all machine types, as of
    :func:`~asdstudy.report.statistics.differences`.
    """
    rows = results.systems(table, ["proposed", *CLAIMS.values()])
    rows = rows.assign(sound=rows.corpus.map(SOUNDS))
    lines = statistics.differences(rows, "proposed", ["sound"], "mean AUC")
    lines = lines[lines.machine_type == ALL]
    claims = {system: claim for claim, system in CLAIMS.items()}
    lines = lines.assign(claim=lines.minus.map(claims))
    return lines.sort_values("sound", key=lambda names: names.map([*SOUNDS.values()].index),
                             kind="stable", ignore_index=True)  # fmt: skip


def claim_table(lines: pd.DataFrame) -> pd.DataFrame:
    """:func:`answers` as a table of claims by sound, the paper's own figures first.

    The paper's are differences of harmonic means, without intervals.
    """
    words = lines.assign(answer=lines.verdict.map(ANSWERS))
    cells = tables.in_cells(words, ["claim"], ["sound"], "{answer}:<br>" + tables.BOUNDED)
    theirs = PAPER_SYSTEMS[ALL]
    leads = theirs["proposed"] - theirs.reindex(list(CLAIMS.values()))
    said = pd.Series(
        ["-" if pd.isna(lead) else f"yes: {lead:+.1f}" for lead in leads], index=list(CLAIMS)
    )
    cells = cells.reindex(index=[claim for claim in CLAIMS if claim in cells.index])
    cells = tables.plain(cells).astype(str)
    cells.insert(0, PAPER, said.loc[cells.index])
    return cells


def by_sound(differences: pd.DataFrame) -> pd.DataFrame:
    """Lines of :func:`~asdstudy.report.statistics.differences` by corpus, over all machine types.

    As a table of the other systems by sound, each cell with its interval.
    """
    lines = differences[differences.machine_type == ALL]
    lines = lines.assign(sound=lines.corpus.map(SOUNDS))
    return tables.plain(tables.in_cells(lines, ["minus"], ["sound"], tables.BOUNDED))


PAPERS_WAYS = ("GMM, upper-half", "LOF, mean")


def ways(table: pd.DataFrame, folds: Sequence[str] = ("mimii-mini",)) -> pd.DataFrame:
    """Rows of the test IDs for each way to score embeddings, and for the ways that are chosen.

    ``table`` is of :mod:`workflow.rescoring`. A way, in the column ``system``, is an inlier model
    and an aggregation, with the p that is best on the validation IDs. Two more choose the way
    there, too: "chosen from the paper's" and "chosen from all". On the corpora ``folds`` each half
    of the product IDs chooses for the other.
    """
    table = table.assign(inlier=table.inlier + ", " + table.aggregation)
    table = table.drop(columns="aggregation")
    parts = []
    for name, among in {"the paper's": PAPERS_WAYS, "all": table.inlier.unique()}.items():
        rows = statistics.choose_in_folds(table.assign(chosen=table.inlier.isin(among)), among)
        parts.append(rows[rows.chosen].assign(system=f"chosen from {name}"))
    rows = pd.concat([*parts, rows.assign(system=rows.inlier)], ignore_index=True)
    first = {
        key: validation_products(own.unique())
        for key, own in table.groupby(["corpus", "machine_type"])["product"]
    }
    chooses = [p in first[c, m] for c, m, p in rows[["corpus", "machine_type", "product"]].values]
    return rows[rows.corpus.isin(folds) | ~pd.Series(chooses)]
