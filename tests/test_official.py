"""The official scores: worked out by hand, and as the organisers' evaluators wrote them."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import shared
from scipy.stats import hmean

from asdlib.errors import InputError
from asdstudy.official import evaluate, official

KEYS = ["machine_type", "section", "domain"]
TYPE = "fan_[a-c].1 ü"  # nothing in a name may be read as a pattern


def write(path: Path, values, start: int = 0) -> None:
    """Rows ``clip_<number>.wav,<value>``, last clip first: the order means nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"clip_{number}.wav,{value}\n" for number, value in enumerate(values, start)]
    path.write_text("".join(reversed(rows)))


@pytest.fixture
def of_2023(tmp_path):
    """Two normal and two anomalous clips of each domain; source: 2 of 4 wrong order."""
    stem = f"{TYPE}_section_00_test.csv"
    write(tmp_path / "truth/ground_truth_data" / f"ground_truth_{stem}", [0, 0, 1, 1] * 2)
    write(tmp_path / "truth/ground_truth_domain" / f"ground_truth_{stem}", [0] * 4 + [1] * 4)
    write(tmp_path / "sub" / f"anomaly_score_{stem}", [1, 4, 3, 5, 6, 7, 2, 8])
    write(tmp_path / "sub" / f"decision_result_{stem}", [0, 1, 0, 1, 0, 0, 0, 0])
    return tmp_path


def by_name(table: pd.DataFrame) -> pd.DataFrame:
    assert not table.duplicated(KEYS).any()
    return table.set_index(KEYS)


@pytest.mark.parametrize("year", range(2022, 2027))
def test_domains_mixed_in_a_file_by_hand(of_2023, year):
    table = by_name(evaluate(of_2023 / "sub", of_2023 / "truth", year))
    source, target = (table.loc[(TYPE, "00", domain)] for domain in ("source", "target"))
    # Anomalous scores 3, 5, 2, 8 over normal 1, 4 (source) and 6, 7 (target).
    assert source.AUC == pytest.approx((1 + 2 + 1 + 2) / 8)
    assert target.AUC == pytest.approx((0 + 0 + 0 + 2) / 8)
    assert source["AUC (all)"] == target["AUC (all)"] == pytest.approx(8 / 16)
    # Up to a false positive rate of 0.1 one of four anomalies is above all normal clips: area
    # 0.025; McClish as in test_metrics.
    pauc = (1 + (0.025 - 0.005) / (0.1 - 0.005)) / 2
    assert source.pAUC == target.pAUC == pytest.approx(pauc)
    assert source[["precision", "recall", "F1 score"]].tolist() == [0.5, 0.5, 0.5]
    assert target[["precision", "recall", "F1 score"]].tolist() == [0, 0, 0]
    for machine_type in (TYPE, ""):
        assert table.loc[(machine_type, "arithmetic mean", ""), "AUC"] == pytest.approx(0.5)
        assert table.loc[(machine_type, "harmonic mean", ""), "AUC"] == pytest.approx(0.375)
        assert table.loc[(machine_type, "harmonic mean", "source"), "AUC"] == pytest.approx(0.75)
        zero = 2 / (1 / 0.5 + 1 / np.finfo(float).eps)  # a zero counts as the smallest float step
        assert table.loc[(machine_type, "harmonic mean", ""), "recall"] == pytest.approx(zero)
    score = 3 / (1 / 0.75 + 1 / 0.25 + 1 / pauc)  # the pAUC counts once
    assert table.loc[("", "official score", ""), "official score"] == pytest.approx(score)


def test_a_file_by_domain_in_2021(tmp_path):
    for section, domain, scores in (
        ("03", "source", [1, 2, 3, 4]),
        ("03", "target", [1, 3, 2, 4]),
        ("04", "source", [1, 3, 2, 4]),
    ):
        stem = f"{TYPE}_section_{section}_{domain}_test.csv"
        write(tmp_path / "truth/ground_truth_data" / f"ground_truth_{stem}", [0, 0, 1, 1])
        write(tmp_path / "sub" / f"anomaly_score_{stem}", scores)
        write(tmp_path / "sub" / f"decision_result_{stem}", [0, 1, 1, 1])
    table = evaluate(tmp_path / "sub", tmp_path / "truth", 2021)
    assert table[KEYS].to_numpy()[:3].tolist() == [
        [TYPE, "03", "source"],
        [TYPE, "04", "source"],
        [TYPE, "03", "target"],
    ]
    assert table.AUC.tolist()[:3] == [1, 0.75, 0.75]
    assert table.precision.tolist()[:3] == pytest.approx([2 / 3] * 3)
    assert table["F1 score"].tolist()[:3] == pytest.approx([0.8] * 3)
    # Half of the anomalous clips are above all normal ones: area 0.05.
    half = (1 + (0.05 - 0.005) / (0.1 - 0.005)) / 2
    score = 6 / (1 + 2 / 0.75 + 1 + 2 / half)  # each domain has a pAUC
    assert table["official score"].iloc[-1] == pytest.approx(score)
    assert "AUC (all)" not in table


@pytest.fixture
def of_2020(tmp_path):
    labels = {"ToyCar": {"05": [0, 0, 1, 1]}, "fan": {"01": [0, 1], "03": [0, 1, 1, 1]}}
    lines = []
    for machine_type, sections in labels.items():
        lines += [machine_type]
        for section, truth in sections.items():
            names = [f"id_{section}_{number:08d}.wav" for number in range(len(truth))]
            lines += [f"{name},x_{name},{label}" for name, label in zip(names, truth, strict=True)]
            scores = "".join(f"{name},{number}\n" for number, name in enumerate(names))
            path = tmp_path / f"sub/anomaly_score_{machine_type}_id_{section}.csv"
            path.parent.mkdir(exist_ok=True)
            path.write_text(scores.replace("1.wav,1", "1.wav,-1") if section == "03" else scores)
    (tmp_path / "eval_data_list.csv").write_text("\n".join(lines))
    return tmp_path


def test_machine_ids_and_one_list_in_2020(of_2020):
    table = by_name(evaluate(of_2020 / "sub", of_2020, 2020))
    assert table.AUC.to_dict() == {
        ("ToyCar", "05", ""): 1,
        ("fan", "01", ""): 1,
        ("fan", "03", ""): pytest.approx(2 / 3),
        ("ToyCar", "arithmetic mean", ""): 1,
        ("fan", "arithmetic mean", ""): pytest.approx(5 / 6),
    }
    assert table.columns.tolist() == ["AUC", "pAUC"]


def test_prints_and_writes_the_table(of_2023, capsys):
    official(of_2023 / "sub", of_2023 / "truth", 2023, of_2023 / "new" / "result.csv")
    assert "official score" in capsys.readouterr().out
    table = evaluate(of_2023 / "sub", of_2023 / "truth", 2023)
    kept = pd.read_csv(of_2023 / "new" / "result.csv", dtype={"section": str})
    kept[KEYS] = kept[KEYS].fillna("")
    pd.testing.assert_frame_equal(kept, table, check_dtype=False)


def figures(path: Path):
    """What an evaluator wrote: machine type, section or mean, domain, column and value."""
    machine_type, header = "", []
    for row in csv.reader(path.read_text().splitlines()):
        if not row:
            machine_type = ""
        elif len(row) == 1:
            machine_type = row[0]
        elif row[-1] == "F1 score" or row[0] == "section":
            header = row
        elif row[0] == "official score":
            yield ("", "official score", ""), "official score", float(row[2])
        elif row[0] != "official score ci95":
            name = row[0].split(" over all ")[0]
            domain, name = re.fullmatch(r"(?:(source|target) )?(.+)", name).groups()
            for column, value in zip(header, row, strict=True):
                column, in_column = re.fullmatch(r"(.*?)(?: \((source|target)\))?", column).groups()
                if column not in ("section", "domain", ""):
                    here = domain or in_column or (row[1] if "domain" in header else "")
                    if name.isdigit() and not here:  # one for both domains
                        here = "source"
                    yield (machine_type, name, here), column, float(value)


@pytest.mark.parametrize(
    ("year", "count", "misnamed"),
    [(2021, 371, 0), (2022, 301, 70), (2023, 231, 0), (2024, 291, 0)],
)
def test_reproduces_the_official_evaluators(year, count, misnamed):
    """Every figure but the jackknife interval, to 1e-9.

    In 2022 the evaluator's source and target mean of one machine type are not over those rows: ours
    are compared with the mean of the evaluator's own figures.
    """
    folder = shared("reference") / f"official-{year}"
    table = by_name(evaluate(folder / "submission", folder, year))
    wanted = {(key, column): value for key, column, value in figures(folder / "result.csv")}
    compared, computed = 0, 0
    for (key, column), value in wanted.items():
        machine_type, name, domain = key
        if year == 2022 and machine_type and domain and name == "harmonic mean":
            of = "source" if column == "pAUC" else domain  # one pAUC for both domains
            value = hmean([wanted[(machine_type, s, of), column] for s in ("03", "04", "05")])
            computed += 1
        else:
            compared += 1
        assert table.loc[key, column] == pytest.approx(value, rel=0, abs=1e-9), (key, column)
    assert (compared, computed) == (count, misnamed)


def test_reproduces_the_baseline_of_2021(tmp_path):
    """AUC, pAUC and their means on the development set; its decisions were not kept."""
    folder = shared("reference") / "dcase2021-ae-baseline"
    for path in folder.glob("anomaly_score_*.csv"):
        stem = path.name.removeprefix("anomaly_score_")
        scores = pd.read_csv(path, header=None)
        truth = scores[[0]].assign(label=scores[0].str.contains("_anomaly_").astype(int))
        for part, rows in (
            ("sub/anomaly_score", scores),
            ("sub/decision_result", truth),
            ("truth/ground_truth_data/ground_truth", truth),
        ):
            out = tmp_path / f"{part}_{stem}"
            out.parent.mkdir(parents=True, exist_ok=True)
            rows.to_csv(out, header=False, index=False)
    table = by_name(evaluate(tmp_path / "sub", tmp_path / "truth", 2021))
    compared = 0
    for key, column, value in figures(folder / "result.csv"):
        if column in ("AUC", "pAUC"):
            assert table.loc[key, column] == pytest.approx(value, rel=0, abs=1e-9), (key, column)
            compared += 1
    assert compared == 7 * 8 * 2 + 4


SCORES = f"sub/anomaly_score_{TYPE}_section_00_test.csv"
DECISIONS = f"sub/decision_result_{TYPE}_section_00_test.csv"
TRUTH = f"truth/ground_truth_data/ground_truth_{TYPE}_section_00_test.csv"
DOMAIN = f"truth/ground_truth_domain/ground_truth_{TYPE}_section_00_test.csv"


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        (SCORES, None, None, "No such file or directory; expected rows <file name>,<number>"),
        (DECISIONS, None, None, "No such file or directory; expected rows <file name>,<0 or 1>"),
        (DOMAIN, None, None, "No such file"),
        (TRUTH, None, None, "expected ground_truth_data/ground_truth_"),
        (SCORES, ".+", "", "No columns to parse.*expected rows"),
        (SCORES, r"clip_3.wav,\d\n", "", "no row for clip_3.wav; expected the clips in .*truth"),
        (DECISIONS, "clip_3", "clip_3x", "no row for clip_3.wav"),
        (DOMAIN, "clip_3", "clip_3x", "no row for clip_3.wav"),
        (SCORES, r"\Z", "clip_9.wav,1\n", "a row for clip_9.wav; expected the clips in .*truth"),
        (SCORES, r"clip_2.wav,", "clip_1.wav,", "more than one row for clip_1.wav"),
        (TRUTH, r"\Z", "clip_1.wav,0\n", "more than one row for clip_1.wav"),
        (SCORES, r"clip_2.wav,\d", "clip_2.wav,high", "'high' for clip_2.wav; expected .*number"),
        (SCORES, r"clip_2.wav,\d", "clip_2.wav,nan", "'nan' for clip_2.wav; expected .*number"),
        (SCORES, r"clip_2.wav,\d", "clip_2.wav,inf", "'inf' for clip_2.wav; expected .*number"),
        (SCORES, r"clip_2.wav,\d", "clip_2.wav,", "'' for clip_2.wav; expected .*number"),
        (SCORES, r"clip_2.wav,\d", "clip_2.wav", "for clip_2.wav; expected .*number"),
        (SCORES, r"clip_2.wav,", "clip_2.wav,1,", "Expected 2 fields in line .*saw 3"),
        (SCORES, r",", ";", "1 columns; expected rows <file name>,<number>"),
        (SCORES, r"^", "file,score\n", "'score' for file; expected .*without a header"),
        (DECISIONS, r"clip_2.wav,\d", "clip_2.wav,2", "'2' for clip_2.wav; expected .*0 or 1"),
        (DECISIONS, r"clip_2.wav,\d", "clip_2.wav,0.5", "'0.5' for clip_2.wav; expected .*0 or 1"),
        (DECISIONS, r"clip_2.wav,\d", "clip_2.wav,True", "'True' for clip_2.wav"),
        (TRUTH, r"clip_2.wav,\d", "clip_2.wav,anomaly", "'anomaly' for clip_2.wav"),
        (TRUTH, r",1", ",0", "the source clips of section 00 have one label; expected 0 and 1"),
    ],
)
def test_bad_input_is_one_sentence_that_names_the_file(of_2023, name, old, new, expected):
    path = of_2023 / name
    if old is None:
        path.unlink()
    else:
        path.write_text(re.sub(old, new, path.read_text(), flags=re.DOTALL))
    with pytest.raises(InputError, match=expected) as error:
        evaluate(of_2023 / "sub", of_2023 / "truth", 2023)
    named = of_2023 / "truth" if name == TRUTH and old is None else path
    assert str(error.value).startswith(f"{named}: ")
    assert "\n" not in str(error.value)


def test_a_domain_with_one_label(of_2023):
    path = of_2023 / DOMAIN
    path.write_text(re.sub(r"(clip_[23].wav),.", r"\1,1", path.read_text()))
    with pytest.raises(InputError, match="the source clips of section 00 have one label"):
        evaluate(of_2023 / "sub", of_2023 / "truth", 2023)


def test_what_is_no_text_is_refused(of_2023):
    (of_2023 / SCORES).write_bytes(b"\xff\xfe\x00RIFF")
    with pytest.raises(InputError, match="anomaly_score_.*expected rows"):
        evaluate(of_2023 / "sub", of_2023 / "truth", 2023)
    (of_2023 / SCORES).unlink()
    (of_2023 / SCORES).mkdir()
    with pytest.raises(InputError, match="anomaly_score_.*expected rows"):
        evaluate(of_2023 / "sub", of_2023 / "truth", 2023)


def test_unknown_year_and_missing_folders(of_2023):
    with pytest.raises(InputError, match="unknown year 2019; known: 2020, 2021, .*2026"):
        evaluate(of_2023 / "sub", of_2023 / "truth", 2019)
    with pytest.raises(InputError, match="none: expected ground_truth_data"):
        evaluate(of_2023 / "sub", of_2023 / "none", 2023)
    with pytest.raises(InputError, match="none/anomaly_score_.*: No such file"):
        evaluate(of_2023 / "none", of_2023 / "truth", 2023)


def test_names_of_another_year(of_2023):
    with pytest.raises(InputError, match="_<source or target>_test.csv in 2021"):
        evaluate(of_2023 / "sub", of_2023 / "truth", 2021)
    with pytest.raises(InputError, match="eval_data_list.csv: No such file"):
        evaluate(of_2023 / "sub", of_2023 / "truth", 2020)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("id_01_00000001.wav,x", "id_01_00000000.wav,x", "the row of id_01_00000000.wav"),
        (r"(x_id_01_00000001.wav),1", r"\1,2", "the row of id_01_00000001.wav"),
        ("^ToyCar\n", "", "the row of id_05_00000000.wav"),
        ("id_01_00000001.wav,x", "01.wav,x", "the row of 01.wav"),
        (r"(x_id_01_00000001.wav),1", r"\1,1,9", "Expected 3 fields in line .*saw 4"),
        (".*", "", "no clips"),
        (".*", "fan\n", "no clips"),
    ],
)
def test_a_bad_list_of_2020(of_2020, old, new, expected):
    path = of_2020 / "eval_data_list.csv"
    path.write_text(re.sub(old, new, path.read_text(), count=1, flags=re.DOTALL))
    with pytest.raises(InputError, match=expected) as error:
        evaluate(of_2020 / "sub", of_2020, 2020)
    assert str(error.value).startswith(f"{path}: ")


def test_a_list_of_2020_with_one_label_names_the_id(of_2020):
    path = of_2020 / "eval_data_list.csv"
    path.write_text(path.read_text().replace("1.wav,1", "1.wav,0"))
    with pytest.raises(InputError, match="clips of section 01 have one label"):
        evaluate(of_2020 / "sub", of_2020, 2020)
