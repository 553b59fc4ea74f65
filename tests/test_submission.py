"""A complete submission of our own, on simulated sound in the challenge's layouts, is evaluated."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_training import SMALL

from asdstudy.data.settings import Simulation
from asdstudy.data.simulate import make_corpus
from asdstudy.official import evaluate
from asdstudy.runs import stages
from asdstudy.runs.run import read_thresholds

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p", "ignore:collapse")
SIMULATION = Simulation(
    clip_seconds=1, products=2, train_clips=5, test_clips=4, severity=1,
    target_train_clips=2, target_test_clips=3,
)  # fmt: skip
DOMAINS = ("source", "target")
TYPES = ("fan", "pump")


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("simulated") / "corpus"
    return make_corpus(root, SIMULATION, TYPES, workers=1, progress=False)


def relaid(simulated: Path, year: int, root: Path) -> Path:
    """The corpus as the organisers would hand it out: test clips shuffled, without labels."""
    truth, files = root / "truth", {}
    for machine_type in TYPES:
        lines = [machine_type]
        for product in ("00", "01"):
            clips = sorted((simulated / machine_type).glob(f"*_test/section_{product}*"))
            order = np.random.default_rng(int(product)).permutation(len(clips))
            for number, clip in enumerate(clips[row] for row in order):
                label, domain = int("_anomaly_" in clip.name), clip.parent.name.split("_")[0]
                name = {
                    2020: f"test/id_{product}_{number:08d}.wav",
                    2021: f"{domain}_test/section_{product}_{domain}_test_{number:04d}.wav",
                    2022: f"test/section_{product}_test_{number:04d}.wav",
                    2023: f"test/section_{product}_{number:04d}.wav",
                }[year]
                place = root / "corpus" / machine_type / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(clip)
                of_2021 = f"_{domain}" if year == 2021 else ""
                end = f"ground_truth_{machine_type}_section_{product}{of_2021}_test.csv"
                files.setdefault(end, []).append((place.name, label, DOMAINS.index(domain)))
                lines.append(f"{place.name},x_{place.name},{label}")
        with (root / "eval_data_list.csv").open("a") as file:
            file.write("\n".join(lines) + "\n")
        for clip in sorted((simulated / machine_type / "train").iterdir()):
            name = clip.name
            if year == 2020:
                name = re.sub(
                r"section_(\d+)_(.).*_normal_(\d+).*",
                lambda m: f"normal_id_{m[1]}_000{'st'.index(m[2])}{m[3]}.wav", name,
            )  # fmt: skip
            place = root / "corpus" / machine_type / "train" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(clip)
    for end, rows in files.items():
        write(truth / "ground_truth_data" / end, rows, 1)
        if year > 2021:
            write(truth / "ground_truth_domain" / end, rows, 2)
    if year == 2020:
        (root / "eval_data_list.csv").rename(truth / "eval_data_list.csv")
    return truth


def write(path: Path, rows: list, column: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row[0]},{row[column]}\n" for row in rows))


@pytest.mark.parametrize(
    ("year", "variant"), [(2020, "spectrum"), (2021, "spectrum"), (2022, "spectrum"),
                          pytest.param(2023, "proposed", marks=pytest.mark.slow)],
)  # fmt: skip
def test_the_evaluator_of_the_year_reads_our_submission(simulated, tmp_path, year, variant):
    truth = relaid(simulated, year, tmp_path)
    submission = tmp_path / "submission"
    submission.mkdir()
    if year == 2022:  # with the organisers' labels and domains, a run evaluates itself
        for name in ("ground_truth_data", "ground_truth_domain"):
            (tmp_path / "corpus" / name).symlink_to(truth / name)
    runs = []
    for machine_type in TYPES:
        own = {} if variant == "spectrum" else {"inliers": ("GMM",), "inlier": "GMM", "epochs": 4}
        options = {name: value for name, value in SMALL.items() if "inlier" not in name} | own
        options["domain"] = "both" if year > 2020 else "source"
        run = stages.execute(
            "challenge", machine_type, variant, data_dir=tmp_path / "corpus",
            out_dir=tmp_path / "runs", progress=False, **options,
        )  # fmt: skip
        runs.append(run)
        for path in (run.folder / "submission").iterdir():
            (submission / path.name).write_bytes(path.read_bytes())
    table = evaluate(submission, truth, year)
    sections = table[table.section.isin(["00", "01"])]
    assert {*sections.machine_type} == {*TYPES} and table.AUC.dropna().between(0, 1).all()
    assert len(sections) == 4 * (2 if year > 2020 else 1)
    # its figures are those of the scores and thresholds in the run folders
    for run in runs:
        labels = labels_of(truth, year, run.params["machine_type"])
        for product, clips in run.scores.groupby("product"):
            anomalous = clips.file.map(labels).to_numpy() == 1
            scores = clips.score.to_numpy()
            pairs = np.subtract.outer(scores[anomalous], scores[~anomalous])
            area = (np.sign(pairs).mean() + 1) / 2
            rows = sections[sections.machine_type == run.params["machine_type"]]
            rows = rows[rows.section == product]
            if year == 2020 or year > 2021:
                assert rows["AUC (all)" if year > 2021 else "AUC"].iloc[0] == pytest.approx(area)
            if year == 2022:
                own = run.metrics[run.metrics.chosen & (run.metrics["product"] == product)]
                for row in rows.itertuples():
                    assert own[f"AUC {row.domain}"].item() == pytest.approx(row.AUC)
            threshold = read_thresholds(run.folder)[product]["gamma"]
            for row in rows.itertuples() if year == 2021 else ():
                own = (clips.domain == row.domain).to_numpy()
                above = scores[own & anomalous] > threshold
                assert row.recall == pytest.approx(above.mean()) and own.sum() in (6, 8)
    names = sorted(path.name for path in submission.iterdir())
    assert len(names) == {2020: 4, 2021: 16}.get(year, 8)
    if year > 2020:
        decided = pd.read_csv(submission / names[-1], header=None)
        assert set(decided[1]) <= {0, 1} and len(decided) == (6 if year == 2021 else 14)


def labels_of(truth: Path, year: int, machine_type: str) -> dict:
    if year > 2020:
        paths = (truth / "ground_truth_data").glob(f"ground_truth_{machine_type}_*.csv")
        return dict(pd.concat(pd.read_csv(path, header=None) for path in paths).to_numpy())
    part = (truth / "eval_data_list.csv").read_text().split(machine_type + "\n")[1]
    rows = [line.split(",") for line in part.splitlines() if "," in line]
    return {row[0]: int(row[2]) for row in rows}
