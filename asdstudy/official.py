"""The official scores of DCASE Task 2, as the organisers' evaluators of each year compute them.

A submission is a folder of CSV files without a header, one row per test clip: its name and its
score in ``anomaly_score_*.csv``, its name and 0 (normal) or 1 (anomalous) in
``decision_result_*.csv``. The truth is what the organisers publish: ``eval_data_list.csv`` in 2020,
later the folders ``ground_truth_data`` and, from 2022 on, ``ground_truth_domain``. Other files are
not read.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from asdlib.errors import InputError, one_of
from asdlib.metrics import auc_pauc, harmonic_mean
from asdstudy.data.inputs import said_in
from asdstudy.paths import composed, spelled

YEARS = range(2020, 2027)  # those after 2022 have its names and its rules
METRICS = ["AUC", "pAUC", "precision", "recall", "F1 score"]


class Part(NamedTuple):
    """The truth about the clips of one score file."""

    path: Path  # the file with the truth
    name: str  # how the names of the submission's files end
    machine_type: str
    section: str
    clips: pd.DataFrame  # one row per clip, by file name: label (1 anomalous), domain


def evaluate(submission: Path, truth: Path, year: int) -> pd.DataFrame:
    """The table of one submission: one row per section and domain, then the means.

    Columns: machine_type, section, domain, AUC, pAUC (p = 0.1), precision, recall, F1 score, all 0
    to 1. In a row of means, ``section`` names the mean; without a domain it is over both, without a
    machine type over all. Last is the official score, the harmonic mean of every AUC and pAUC.

    From 2022 on, the domains of a section share a score file. A domain's AUC is then over its
    normal clips and *all* anomalous ones, ``AUC (all)`` over the whole section; so is the pAUC,
    which counts once in the official score. The evaluator of 2022 takes a machine type's source and
    target means over the wrong rows; here they are what they are called.

    2020 has no domains, no decisions, one mean (of a machine type), and ranks instead of a score.
    Raises InputError, naming the file, where the files are not what the year wants.
    """
    one_of("year", year, YEARS)
    submission, truth = Path(submission), Path(truth)
    parts = _list_of_2020(truth) if year == 2020 else _ground_truth(truth, year)
    rows = [row for part in parts for row in _figures(submission, part, year)]
    sections = pd.DataFrame(rows).sort_values(["machine_type", "domain", "section"])
    if year == 2020:
        means = sections.groupby("machine_type")[["AUC", "pAUC"]].mean().reset_index()
        means = means.assign(section="arithmetic mean", domain="")
    else:
        means = pd.DataFrame(_means(sections, year))
    return pd.concat([sections, means], ignore_index=True)


def official(submission: Path, truth: Path, year: int, out: Path | None = None) -> None:
    """Print the table of :func:`evaluate`, and write it to the CSV file ``out``."""
    table = evaluate(submission, truth, year)
    print(table.to_string(index=False, na_rep="", float_format="%.4f"))
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(out, index=False)


def _figures(submission: Path, part: Part, year: int) -> Iterator[dict]:
    """One row per domain of a score file."""
    clips = part.clips.assign(score=_read_for(part, submission / f"anomaly_score_{part.name}.csv"))
    if year > 2020:
        path = submission / f"decision_result_{part.name}.csv"
        clips["decision"] = _read_for(part, path, binary=True)
    auc_all, pauc = auc_pauc(clips.label, clips.score)
    for domain, own in clips.groupby("domain"):
        if own.label.nunique() < 2:
            clips_of = f"{domain} clips of section {part.section}".strip()
            raise InputError(f"{part.path}: the {clips_of} have one label; expected 0 and 1")
        compared = clips[(clips.domain == domain) | (clips.label == 1)]
        row = {"machine_type": part.machine_type, "section": part.section, "domain": domain}
        row |= {"AUC": auc_pauc(compared.label, compared.score)[0], "pAUC": pauc}
        if year > 2020:
            detection = precision_recall_fscore_support(
                own.label, own.decision, average="binary", zero_division=0
            )
            row |= dict(zip(METRICS[2:], detection[:3], strict=True))
        yield row | ({"AUC (all)": auc_all} if year > 2021 else {})  # until then it is the AUC


def _means(sections: pd.DataFrame, year: int) -> Iterator[dict]:
    """Rows of means by machine type and over all of them, and the official score, from 2021 on."""
    # The evaluators lift zeros to the smallest step of a float before a harmonic mean.
    lifted = sections.assign(**sections[METRICS].clip(lower=sys.float_info.epsilon))
    for machine_type, group in [*sections.groupby("machine_type"), ("", sections)]:
        row = {"machine_type": machine_type, "section": "arithmetic mean", "domain": ""}
        yield row | group[METRICS].mean().to_dict()
        row["section"] = "harmonic mean"
        group = lifted.loc[group.index]
        for domain, rows in [("", group), *group.groupby("domain")]:
            yield row | {"domain": domain} | rows[METRICS].apply(harmonic_mean).to_dict()
    part = ["machine_type", "section"] + ["domain"] * (year == 2021)  # what has one pAUC
    score = harmonic_mean(pd.concat([lifted.AUC, lifted.drop_duplicates(part).pAUC]))
    yield row | {"section": "official score", "official score": score}


def _ground_truth(folder: Path, year: int) -> Iterator[Part]:
    """The parts of ``ground_truth_data``, from 2021 on."""
    domain = "_(source|target)" if year == 2021 else "()"
    paths = sorted((folder / "ground_truth_data").glob("ground_truth_*.csv"))
    if not paths:
        raise InputError(f"{folder}: expected ground_truth_data/ground_truth_*.csv in it")
    for path in paths:
        match = re.fullmatch(rf"ground_truth_((.+)_section_(.+){domain}_test)\.csv", path.name)
        if not match:
            wanted = "<machine type>_section_<section>" + "_<source or target>" * (year == 2021)
            raise InputError(f"{path}: expected the name ground_truth_{wanted}_test.csv in {year}")
        clips = pd.DataFrame({"label": _read(path, binary=True), "domain": match[4]})
        part = Part(path, *match.groups()[:3], clips)
        if year > 2021:
            domains = _read_for(part, folder / "ground_truth_domain" / path.name, binary=True)
            part = part._replace(clips=clips.assign(domain=domains.map({0: "source", 1: "target"})))
        yield part


def _list_of_2020(folder: Path) -> Iterator[Part]:
    """The parts of ``eval_data_list.csv``: a machine type, then its clips, then the next."""
    path = folder / "eval_data_list.csv"
    expected = "a machine type, below it rows id_<ID>_<number>.wav,<name>,<0 or 1>, each once"
    rows = _rows(path, expected, names=["file", "name", "label"]).assign(domain="")
    alone = rows.label == ""  # a machine type's line has one field
    rows["machine_type"] = rows.file.where(alone).ffill()
    rows["section"] = rows.file.str.extract(r"^id_([^_]+)_")
    clips = rows[~alone]
    right = clips.machine_type.notna() & clips.section.notna() & clips.label.isin(["0", "1"])
    wrong = clips.file[~right | clips.duplicated(["machine_type", "file"])].tolist()
    if wrong or clips.empty:
        row = f"the row of {wrong[0]}" if wrong else "no clips"
        raise InputError(f"{path}: {row}; expected {expected}")
    clips = clips.astype({"label": int}).set_index("file")
    for (machine_type, section), part in clips.groupby(["machine_type", "section"]):
        yield Part(path, f"{machine_type}_id_{section}", machine_type, section, part)


def _read_for(part: Part, path: Path, binary: bool = False) -> pd.Series:
    """The values of a file that must have a row for each clip of ``part`` and no others."""
    values, files = _read(path, binary), part.clips.index
    for name in files.symmetric_difference(values.index):
        row = "no row" if name in files else "a row"
        raise InputError(f"{path}: {row} for {name}; expected the clips in {part.path}")
    return values


def _read(path: Path, binary: bool = False) -> pd.Series:
    """Values by file name from rows ``file name,value``; ``binary`` ones are 0 or 1."""
    expected = f"rows <file name>,<{'0 or 1' if binary else 'number'}> without a header"
    rows = _rows(path, expected)
    if rows.shape[1] != 2:
        raise InputError(f"{path}: {rows.shape[1]} columns; expected {expected}")
    values = pd.to_numeric(rows[1], errors="coerce").set_axis(rows[0])
    right = values.isin([0, 1]) if binary else np.isfinite(values)
    for file, value in rows[~right.to_numpy()].itertuples(index=False):
        raise InputError(f"{path}: {value!r} for {file}; expected {expected}")
    for file in values.index[values.index.duplicated()]:
        raise InputError(f"{path}: more than one row for {file}; expected one")
    return values


def _rows(path: Path, expected: str, names: list[str] | None = None) -> pd.DataFrame:
    """The cells of a CSV file without a header, as text."""
    text = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    try:
        table = pd.read_csv(spelled(path), header=None, names=names, **text).fillna("")
        return table.map(composed)  # names are compared
    except (OSError, ValueError) as error:  # missing, empty, ragged, or no text
        fault = getattr(error, "strerror", None) or str(error).strip()
        raise InputError(f"{path}: {fault}; expected {expected}") from None


def read_submission(path: Path) -> pd.DataFrame:
    """A score file of the challenge: rows ``file name,score``; labels from the names, if there."""
    scores = pd.read_csv(path, header=None, names=["file", "score"])
    labels = [said_in(Path(name).stem)[0].get("label", "unknown") for name in scores.file]
    return scores.assign(label=labels)


def write_submission(
    scores: pd.DataFrame, machine_type: str, folder, thresholds=None, by_domain: bool = True
) -> list[Path]:
    """``anomaly_score_<part>.csv`` for each part of the test, and the decisions on it.

    A part is ``<machine type>_section_<II>_<source or target>_test``, without the domain where that
    is unknown or not ``by_domain``: only in 2021 each domain has a file. In 2020, whose file names
    have ``id_<II>``, it is ``<machine type>_id_<II>``, without decisions.

    ``scores`` has one row per test clip: file, product, domain, score. ``thresholds``, by product
    ID, make ``decision_result_<part>.csv``: 1 where the score is above. Returns what was written.
    """
    folder, written = Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    of_2020 = scores.file.str.match(r"((normal|anomaly)_)?id_")
    ends = scores.domain.map({"source": "_source_test", "target": "_target_test"})
    ends = ends.fillna("_test") if by_domain else "_test"
    names = "section_" + scores["product"] + ends
    names = names.where(~of_2020, "id_" + scores["product"])
    for name, part in scores.groupby(machine_type + "_" + names):
        columns = {"anomaly_score": part.score}
        threshold = (thresholds or {}).get(part["product"].iloc[0])
        if threshold is not None and not of_2020[part.index[0]]:
            columns["decision_result"] = (part.score > threshold).astype(int)
        for kind, values in columns.items():
            written.append(folder / f"{kind}_{name}.csv")
            part[["file"]].assign(value=values).to_csv(written[-1], header=False, index=False)
    return written
