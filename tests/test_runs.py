"""A run from clips to its folder: whole or not there, reproducible, and readable again."""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, asd, shared, write_clip, write_corpus, write_finished
from test_training import SMALL

from asdlib import InputError, metrics
from asdlib.profiles import PROFILES
from asdstudy import paths
from asdstudy.data import open_corpus
from asdstudy.data.corpora import COLUMNS
from asdstudy.report import figures, results, tables
from asdstudy.runs import record
from asdstudy.runs import stages as runs
from asdstudy.runs.embeddings import read_embeddings, write_embeddings
from asdstudy.runs.plan import Plan, overrides_in
from asdstudy.runs.provenance import code_files, git_commit, processor
from asdstudy.runs.record import STAGES
from asdstudy.runs.run import Run, find_runs
from asdstudy.systems import VARIANTS, make_profile, serial

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p")


def execute(root, machine_type="pump", **options):
    return runs.execute("noise", machine_type, data_dir=root, progress=False, **SMALL | options)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("c") / "corpus")


AMD = "cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n"
ARM = "BogoMIPS\t: 48.00\nCPU implementer\t: 0x61\n"


@pytest.mark.parametrize("facts, name", [(AMD, "AMD EPYC (family 25, model 17)"), (ARM, "some")])
def test_a_record_names_the_cpu(facts, name, monkeypatch):
    """By its name and generation where the system says them, and by what PyTorch uses of it."""
    monkeypatch.setattr(platform, "processor", lambda: "some")
    monkeypatch.setattr(Path, "read_text", lambda path: facts)
    assert processor() == f"{name}, {torch.backends.cpu.get_cpu_capability()}"


def test_a_record_says_whether_the_files_are_those_of_the_commit(tmp_path, monkeypatch):
    """A measured table is a result: rewritten by one study, it does not change the next."""
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path)
    assert git_commit() == "unknown"
    code, table = tmp_path / "code.py", tmp_path / "book" / "measured" / "table.csv"
    table.parent.mkdir(parents=True)
    code.write_text("1\n")
    table.write_text("1\n")
    name = ["-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", "all"]
    for words in (["init", "-q"], ["add", "."], name):
        subprocess.run(["git", "-C", tmp_path, *words], check=True)
    commit = git_commit()
    assert re.fullmatch("[0-9a-f]{10}", commit)
    table.write_text("2\n")
    (tmp_path / "notes.txt").write_text("untracked\n")
    assert git_commit() == commit
    code.write_text("2\n")
    assert git_commit() == commit + "+"


def test_run_folder(noise, tmp_path):
    run = execute(noise, out_dir=tmp_path)
    assert Run(str(run.folder)).params == run.params and not run.params["resumed"]
    assert run.folder.parent == tmp_path / "noise" / "pump"
    assert re.fullmatch("proposed-s0-[0-9a-f]{8}", run.folder.name)
    assert {path.name for path in run.folder.iterdir()} == {
        "params.json", "history.csv", "encoder.safetensors", "embeddings.npz", "scores.csv",
        "thresholds.json", "metrics.csv", "submission", "card.md",
    }  # fmt: skip
    assert {"versions", "commit", "fingerprint", "wall_seconds", "seed"} <= set(run.params)
    assert run.profile == make_profile("quick", "pump", **SMALL)
    assert run.scores["product"].unique().tolist() == ["00", "01"]
    choice = run.params["choice"]
    again = metrics.table(run.scores, f"{choice['inlier']} {choice['sizes'][choice['inlier']]}")
    stored = run.metrics[run.metrics.chosen].reset_index(drop=True)
    tried = [(c["inlier"], c["size"]) for c in choice["candidates"]]
    assert [*run.candidates.groupby(["inlier", "size"], sort=False).groups] == tried
    best = run.metrics.groupby("inlier")["size"].unique()
    assert {h: sizes.tolist() for h, sizes in best.items()} == {
        h: [p] for h, p in choice["sizes"].items()
    }
    np.testing.assert_allclose(again.AUC, stored.AUC)
    assert run.result() == pytest.approx(metrics.harmonic_mean(stored[["AUC", "pAUC"]]))
    for role in ("test", "validation"):
        areas = stored.loc[stored.role == role, ["AUC", "pAUC"]]
        assert run.result(role=role) == pytest.approx(metrics.harmonic_mean(areas))
    assert stored.threshold.notna().all() and stored.F1.between(0, 1).all()
    names = [path.name for path in sorted((run.folder / "submission").iterdir())]
    kinds = ("anomaly_score", "decision_result")
    assert names == [
        f"{kind}_pump_section_{k}_source_test.csv" for kind in kinds for k in ("00", "01")
    ]
    parts = run.embedded
    assert parts["fit"].embeddings.shape == (12, 3, 128)
    assert parts["test"].logits.shape == (8, 3, 2)
    assert set(parts["others"].clips.machine_type) == {"fan"}


def test_the_saved_encoder_gives_the_saved_embeddings(noise, tmp_path):
    run = execute(noise, out_dir=tmp_path)
    _, banks = open_corpus("noise", noise, progress=False)
    bank = banks["pump"]
    row = np.flatnonzero(bank.clips.split == "test")[:1]
    from asdlib.batches import normalise

    profile = run.profile
    waves = bank.segments(row, profile.segments, profile.segment_frames)[0]
    with torch.inference_mode():
        found = run.encoder()(normalise(waves, bank.mean, bank.std))
    saved = run.embedded["test"].embeddings[0]
    np.testing.assert_allclose(found.numpy(), saved, rtol=1e-4, atol=1e-5)


def test_one_domain_or_both_are_trained_on_and_tested(tmp_path):
    """A run on the source domain is what it always was, and its table has no other columns."""
    root = write_corpus(tmp_path / "corpus")
    for source in sorted(root.rglob("*.wav")):
        target = Path(str(source).replace("source", "target"))
        write_clip(target, seed=len(str(target)) + int(target.stem[-8:-4]))
    done = {}
    for domain in ("source", "target", "both"):
        given = {} if domain == "source" else {"domain": domain}
        done[domain] = execute(root, variant="spectrum", out_dir=tmp_path, **given)
        clips = read_embeddings(done[domain].folder).clips
        expected = {"source", "target"} if domain == "both" else {domain}
        assert {*clips.domain} == expected and len(clips) == 20 * len(expected)
        by_domain = [name for name in done[domain].metrics if name in metrics.BY_DOMAIN.values()]
        assert len(by_domain) == (2 if domain == "both" else 0)
    assert len({run.folder for run in done.values()}) == 3
    again = execute(root, variant="spectrum", out_dir=tmp_path, domain="source")
    assert again.folder == done["source"].folder and "domain" not in again.params["profile"]
    assert (
        "| AUC | AUC source | AUC target | pAUC |" in (done["both"].folder / "card.md").read_text()
    )
    table = results.collect([*done.values()])
    read = results.read(results.save(table, tmp_path / "table.csv"))
    assert read["AUC target"].notna().sum() == len(done["both"].metrics)
    folds = results.run_rows(done["both"], folds=True)
    assert (folds.role == "test").all() and folds["AUC target"].notna().all()
    for path in root.glob("pump/target_test/*"):
        path.unlink()
    with pytest.raises(InputError, match="pump: domain is both, and all test clips are .* source"):
        execute(root, variant="spectrum", out_dir=tmp_path, domain="both")
    with pytest.raises(InputError, match="unknown domain 'all'; known: source, target, both"):
        execute(root, domain="all")


def test_same_seed_same_result(noise, tmp_path):
    first, second = (execute(noise, out_dir=tmp_path / name) for name in "ab")
    pd.testing.assert_frame_equal(first.scores, second.scores)
    other = execute(noise, out_dir=tmp_path / "c", seed=1)
    assert not np.allclose(first.scores.score, other.scores.score)


def test_a_failed_stage_leaves_what_was_there(noise, tmp_path, monkeypatch):
    """And a run that was never finished does not count."""
    before = execute(noise, out_dir=tmp_path)
    there = {path: path.read_bytes() for path in before.folder.glob("*.*")}
    monkeypatch.setattr(runs, "code_hash", lambda *modules: "of other code")

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(runs, "write_embeddings", fail)
        patch.setattr(runs, "save_file", fail)
        for seed in (0, 1):
            with pytest.raises(OSError, match="disk full"):
                execute(noise, out_dir=tmp_path, seed=seed)
    assert {path: path.read_bytes() for path in before.folder.glob("*.*")} == there
    other = before.folder.with_name(before.folder.name.replace("s0", "s1"))
    assert not other.exists()
    # what was trained is kept: with room on the disk, the same call has only to write
    assert len(list(before.folder.parent.glob(".*.encoder.checkpoint"))) == 2
    with pytest.raises(InputError, match="finished stages: none; expected the folder of a fin"):
        Run(other)


@pytest.fixture
def did(monkeypatch):
    """Which stages are really done, in their order."""
    stages, do = [], runs._stage

    def noted(plan, stage, identity):
        stages.append(stage)
        return do(plan, stage, identity)

    monkeypatch.setattr(runs, "_stage", noted)
    return stages


def test_reuse_only_what_is_the_same(noise, tmp_path, did):
    first = execute(noise, out_dir=tmp_path)
    assert did == [*STAGES]
    assert execute(noise, out_dir=tmp_path).params == first.params
    assert did == [*STAGES]
    other = execute(noise, out_dir=tmp_path, epochs=1)
    assert other.params["overrides"]["epochs"] == 1 and len(other.history) == 1
    assert did == [*STAGES, *STAGES]


@pytest.mark.parametrize(
    ("changed", "again"),
    [
        ("asdstudy.systems.serial", STAGES),
        ("asdlib.scoring", ("score", "evaluate")),
        ("asdlib.metrics", ("evaluate",)),
    ],
)
def test_a_stage_is_done_again_after_a_change_of_its_code(
    noise, tmp_path, monkeypatch, did, changed, again
):
    execute(noise, out_dir=tmp_path)
    hashed = runs.code_hash
    for module in (runs, record):
        monkeypatch.setattr(
            module, "code_hash", lambda *names: hashed(*names) + "+" * (names[0] == changed)
        )
    did.clear()
    execute(noise, out_dir=tmp_path)
    assert did == [*again]


def test_what_a_stage_computes_depends_on_its_own_code_only():
    files = {
        name: {path.stem for path in code_files(name)}
        for name in ("asdstudy.systems.serial", "asdstudy.systems.parallel", "asdlib.scoring")
    }
    drawing = {path.stem for path in (ROOT / "asdstudy/report").glob("[a-z]*.py")}
    for name, stems in files.items():
        assert not stems & (drawing | {"stages", "run", "captions"}), name
    assert {"losses", "training", "waves", "encoder"} <= files["asdstudy.systems.serial"]
    assert not {"inliers", "scoring", "metrics"} & files["asdstudy.systems.serial"]
    assert {"autoencoder", "serial"} <= files["asdstudy.systems.parallel"]
    assert "ddcsad" not in files["asdstudy.systems.parallel"]
    assert {"inliers", "metrics"} <= files["asdlib.scoring"]
    assert not {"losses", "training"} & files["asdlib.scoring"]


def test_the_method_knows_nothing_of_the_study():
    modules = [f"asdlib.{path.stem}" for path in (ROOT / "asdlib").glob("*.py")]
    assert {path.parent.name for path in code_files(*modules)} == {"asdlib"}


SCORE = """
import builtins, json, sys
from asdstudy.data.corpora import COLUMNS
from asdstudy.runs import stages
from asdstudy.runs.plan import Plan
import asdlib.encoder, asdlib.training, asdstudy.systems.serial

def refuse(*_, **__):
    raise AssertionError("a network, or training")

asdlib.encoder.Encoder.__init__ = refuse
asdlib.training.train = asdstudy.systems.serial.train_encoder = refuse
out_dir, options = sys.argv[1], eval(sys.argv[2])
plan = Plan("noise", "pump", overrides=options, out_dir=out_dir)
stages.score(plan)
stages.evaluate(plan)
print(plan.folder)
"""


def scored_again(out, **options) -> Run:
    """A run scored by a process of its own, which can make no network and has no corpus."""
    done = subprocess.run(
        [sys.executable, "-c", SCORE, out, repr(SMALL | options)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Run(done.stdout.strip())


@pytest.mark.slow
def test_a_stored_run_is_scored_again_to_the_same_bits(noise, tmp_path):
    first = execute(noise, out_dir=tmp_path)
    there = {name: (first.folder / name).read_bytes() for name in ("scores.csv", "metrics.csv")}
    record = json.loads((first.folder / "params.json").read_text())
    del record["score"], record["evaluate"]
    (first.folder / "params.json").write_text(json.dumps(record))
    again = scored_again(tmp_path)
    assert again.folder == first.folder
    assert {name: (again.folder / name).read_bytes() for name in there} == there


@pytest.mark.slow
def test_another_h_on_a_stored_run_needs_no_training(noise, tmp_path):
    changes = {"inlier": "LOF", "aggregation": "max", "inlier_sizes": (2,), "inlier_part": "train"}
    for other in ({}, {"variant": "no-mixup"}, {"seed": 1}):  # only one of them is its own
        execute(noise, out_dir=tmp_path, **other)
    stored = scored_again(tmp_path, **changes)
    assert stored.params["choice"]["inlier"] == "LOF" and stored.profile.aggregation == "max"
    trained = execute(noise, out_dir=tmp_path / "trained again", **changes)
    assert trained.folder.name == stored.folder.name
    for name in ("scores.csv", "metrics.csv", "history.csv", "embeddings.npz"):
        if name != "history.csv":  # it has the speed
            assert (trained.folder / name).read_bytes() == (stored.folder / name).read_bytes(), name
    assert stored.seconds("wall_seconds") is not None and stored.encoder() is not None


def test_runs_that_differ_in_their_scoring_alone_share_an_encoder(noise, tmp_path, did):
    execute(noise, out_dir=tmp_path)
    did.clear()
    part = execute(
        noise, out_dir=tmp_path, inlier_part="validation", inliers=("kNN",), inlier="kNN"
    )
    assert did == ["score", "evaluate"]
    assert len(part.embedded["fit"].clips) == 2 and part.params["fitted_on"].startswith(
        "validation"
    )
    whole = execute(noise, out_dir=tmp_path, seed=1)
    assert did[2:] == [*STAGES] and len(whole.embedded["fit"].clips) == 12


def test_a_stage_that_was_not_done_is_named(tmp_path):
    plan = Plan("noise", "pump", overrides=SMALL, out_dir=tmp_path)
    with pytest.raises(InputError, match="not done yet: train"):
        runs.score(plan)


def test_stages_from_the_command_line(noise, tmp_path, capsys):
    """Each by itself, then all at once with another h: the encoder is there."""
    sets = [
        word for name, value in SMALL.items() for word in ("--set", f"{name}={json.dumps(value)}")
    ]
    words = ["noise", "pump", "--out-dir", tmp_path, "--seed", 2, *sets]
    for stage in ("train", "embed"):
        asd("stage", stage, *words, "--data-dir", noise)
    for stage in ("score", "evaluate"):
        asd("stage", stage, *words)
    short, folder = capsys.readouterr().out.splitlines()[-2:]
    folder = Path(folder)
    areas = Run(folder).metrics.query("chosen")
    assert f"AUC {100 * areas.AUC.mean():.1f} %" in short and "over 2 product IDs" in short
    assert Run(folder).params["seed"] == 2 and Run(folder).profile.inlier_sizes == (1, 2)
    asd("stage", "score", *words, "--set", "inlier=kNN")
    asd("stage", "evaluate", *words, "--set", "inlier=kNN")
    again = Run(capsys.readouterr().out.splitlines()[-1])
    assert again.params["choice"]["inlier"] == "kNN" and again.folder != folder
    with pytest.raises(SystemExit, match="error: unknown profile field 'epoch'"):
        asd("run", *words, "--set", "epoch=3")
    with pytest.raises(SystemExit, match="expected FIELD=VALUE"):
        asd("run", *words, "--set", "epochs")


def test_the_order_of_overrides_makes_no_other_run():
    orders = ({"epochs": 7, "batch_size": 8}, {"batch_size": 8, "epochs": 7})
    one, other = (Plan("c", "fan", overrides=overrides) for overrides in orders)
    assert one.folder == other.folder and one.words == other.words


def test_the_words_of_a_plan_name_it(capsys, tmp_path):
    plan = Plan("my own", "Lüfter 1.2", "no-mixup", seed=3, out_dir=tmp_path,
                overrides={"epochs": 7, "inlier_sizes": (1, 4), "backbone": "a b"})  # fmt: skip
    write_finished(plan)
    (plan.folder / "params.json").unlink()
    with pytest.raises(SystemExit, match=f"{re.escape(str(plan.folder))}: not done yet: train"):
        asd("stage", "score", *plan.words, "--out-dir", tmp_path)


def test_embedded_clips_in_and_out_of_a_file_are_the_same(noise, tmp_path):
    run = execute(noise, out_dir=tmp_path)
    embedded = read_embeddings(run.folder)
    assert {*embedded.clips} == {*COLUMNS, "part"}
    assert embedded.clips.part.value_counts().to_dict() == {
        "train": 10, "validation": 2, "test": 8, "others": 12,
    }  # fmt: skip
    assert not embedded.clips.path.duplicated().any()
    write_embeddings(tmp_path, embedded)
    again = read_embeddings(tmp_path)
    pd.testing.assert_frame_equal(again.clips, embedded.clips)
    assert again.embeddings.dtype == np.float32 and again.output is None
    np.testing.assert_array_equal(again.embeddings, embedded.embeddings)
    np.testing.assert_array_equal(again.logits, embedded.logits)


def test_runs_with_other_fields_of_the_profile_lie_side_by_side(noise, tmp_path):
    default = execute(noise, out_dir=tmp_path)
    rate = execute(noise, out_dir=tmp_path, learning_rate=0.003)
    assert rate.folder.parent == default.folder.parent and rate.folder != default.folder
    assert Run(default.folder).params == default.params
    # a value that is the default's, however it is written, makes no other run
    same = execute(noise, out_dir=tmp_path, learning_rate="5e-3", mel_power=2)
    assert same.params == default.params and "learning_rate" not in same.params["overrides"]


def test_a_page_takes_the_default_runs_or_those_of_its_overrides(noise, tmp_path):
    """A run with a field changed beside them is not mixed in."""
    for options in ({}, {"seed": 1}, {"epochs": 1}, {"variant": "spectrum"}):
        execute(noise, out_dir=tmp_path, **options)

    def names(*words, **more):
        overrides = {"pump": SMALL | more.pop("changed", {})}
        found = find_runs("noise", *words, out_dir=tmp_path, overrides=overrides, **more)
        return [(r.params["variant"], r.params["seed"], r.profile.epochs) for r in found]

    assert names() == [("proposed", 0, 2), ("proposed", 1, 2), ("spectrum", 0, 2)]
    assert names(["pump"], ["proposed"]) == [("proposed", 0, 2), ("proposed", 1, 2)]
    assert names(changed={"epochs": 1}) == [("proposed", 0, 1)]
    with pytest.raises(InputError, match="no finished run"):
        find_runs("noise", out_dir=tmp_path)
    with pytest.raises(InputError, match="no finished run"):
        names(profile="paper")


def test_missing_run_says_how_to_make_it(tmp_path, monkeypatch):
    def find(*words):
        return find_runs("simulated", *words, out_dir=tmp_path)

    with pytest.raises(InputError, match="make book"):
        find()
    plan = Plan("simulated", "fan", out_dir=tmp_path)
    write_finished(plan)
    monkeypatch.setattr("asdstudy.runs.run.Run", str)
    assert find() == [str(plan.folder)]
    named = r"proposed-s1-.*: .*`asd run simulated fan --variant proposed --profile quick --seed 1`"
    with pytest.raises(InputError, match=named):
        find(["fan"], ["proposed"], [0, 1])
    with pytest.raises(InputError, match="no-mixup-s0-.*: .*--variant no-mixup .*--seed 0`"):
        find(["fan"], ["proposed", "no-mixup"], [0])
    with pytest.raises(InputError, match="pump: no finished run.*asd run simulated pump"):
        find(["fan", "pump"])
    paper = Plan("simulated", "fan", profile_name="paper", out_dir=tmp_path)
    write_finished(paper)
    with pytest.raises(InputError, match="profiles paper, quick; expected one to be named"):
        find()


def test_a_run_that_was_read_does_not_change(noise, tmp_path):
    old = execute(noise, out_dir=tmp_path)
    params, scores = old.params, old.scores
    record = old.folder / "params.json"
    record.write_text(record.read_text().replace('"finished"', '"finished": "later", "before"'))
    (old.folder / "scores.csv").unlink()
    assert old.params is params and old.scores is scores
    with pytest.raises(InputError, match="changed since it was read"):
        old.embedded  # noqa: B018


def test_a_score_rises_when_a_clip_is_made_worse(tmp_path):
    """A tone machine, and test clips with more and more of another sound mixed in."""
    import soundfile

    rng, time = np.random.default_rng(0), np.arange(16_000) / 16_000

    def write(machine_type, split, label, number, hertz, badness=0.0):
        folder = tmp_path / machine_type / split
        folder.mkdir(parents=True, exist_ok=True)
        sound = 0.2 * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6))
        sound += rng.normal(0, 0.02, 16_000)
        clicks = (rng.random(16_000) < 0.001) * rng.normal(0, 1, 16_000)
        mixed = sound + badness * clicks
        mixed *= 0.1 / mixed.std()  # loudness does not help
        name = f"section_00_source_{split}_{label}_{number:04d}_{badness}.wav"
        soundfile.write(folder / name, mixed, 16_000, subtype="PCM_16")

    for number in range(16):
        write("pump", "train", "normal", number, 500)
        write("fan", "train", "normal", number, 2000)
    for number in range(4):
        for badness in (0.0, 0.5, 2.0):
            label = "anomaly" if badness else "normal"
            write("pump", "test", label, 10 * number + int(2 * badness), 500, badness)
    run = runs.execute("tones", "pump", data_dir=tmp_path, progress=False, **SMALL | {"epochs": 6})
    sizes = run.params["choice"]["sizes"]
    columns = [f"{h} {sizes[h]}" for h in ("GMM", "kNN", "Mahalanobis")]
    by_badness = run.scores.groupby("attributes")[columns].mean()
    assert (by_badness.diff().dropna() > 0).all(axis=None), by_badness


def test_bad_parameters_leave_no_folder(noise, tmp_path):
    for options, message in (
        ({"variant": "propsed"}, "unknown variant 'propsed'; known: proposed"),
        ({"profile": "fast"}, "unknown profile 'fast'; known: paper, quick"),
        ({"machine_type": "drone"}, "unknown machine type.*'drone'; known: fan, pump"),
        (
            {"learnin_rate": 1.0},
            "unknown profile field 'learnin_rate'; known: .*segment_seconds",
        ),
        ({"mixup_schedule": "never"}, "unknown mixup_schedule 'never'; known: rising"),
        ({"batch_size": 7}, "batch_size is 7; expected an even number"),
        ({"inlier": "GMM", "inlier_size": 64}, "product ID 00: 18 embeddings are too few for GMM"),
    ):
        with pytest.raises(InputError, match=message):
            execute(noise, out_dir=tmp_path, **options)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        execute(noise / "nowhere", out_dir=tmp_path)
    assert not list(tmp_path.rglob("*.*"))


def test_too_few_clips_are_reported_before_the_hours_of_training(noise, tmp_path, monkeypatch):
    monkeypatch.setattr(serial, "train_encoder", lambda *_, **__: pytest.fail("it was trained"))
    for options, message in (
        ({"inlier": "LOF", "inlier_size": 18}, "18 embeddings are too few for LOF, .* needs 19"),
        ({"inlier_sizes": [10, 20]}, "18 embeddings are too few for GMM, .* needs 20"),
        ({"variant": "spectrum", "inlier": "kNN", "inlier_size": 7}, "too few for kNN"),
    ):
        with pytest.raises(InputError, match=f"pump: product ID 00: .*{message}"):
            execute(noise, out_dir=tmp_path, **options)
    assert not list(tmp_path.rglob("*.*"))


def unlabelled(root):
    """The test clips of a corpus lose their labels, as in an evaluation set."""
    for path in sorted(root.glob("*/source_test/*.wav")):
        number = 2 * int(path.stem.split("_")[5]) + ("anomaly" in path.name)
        path.rename(path.with_name(f"{path.name[:18]}test_{number:04d}.wav"))


def test_clips_without_labels_are_scored(corpus, tmp_path):
    unlabelled(corpus)
    run = execute(corpus, out_dir=tmp_path)
    assert len(run.scores) == 8 and np.isfinite(run.scores.score).all()
    assert run.metrics.empty and np.isnan(run.result()) and np.isnan(run.result("GMM", "test"))
    assert "No labels, no AUC" in tables.result_table(run).data
    with pytest.raises(InputError, match="proposed-s0-.*: no run has labelled test clips"):
        results.collect([run])
    assert [ax.get_title() for ax in figures.score_distributions(run.scores).axes] == [
        "ID 00",
        "ID 01",
    ]
    assert figures.roc_curves(run.scores) is None
    assert len(figures.remarkable_clips(run.scores)) == 2


def test_labels_that_come_later_make_it_another_run(corpus, tmp_path):
    labelled = {path.name: path for path in corpus.glob("pump/source_test/*.wav")}
    unlabelled(corpus)
    first = execute(corpus, out_dir=tmp_path)
    assert execute(corpus, out_dir=tmp_path).params == first.params
    table = corpus / "ground_truth" / "ground_truth_pump_section_00_test.csv"
    table.parent.mkdir()
    names = sorted(path.name for path in corpus.glob("pump/source_test/section_00*.wav"))
    table.write_text("".join(f"{name},{i % 2}\n" for i, name in enumerate(names)))
    again = execute(corpus, out_dir=tmp_path)
    assert again.params["labels"] != first.params["labels"]
    assert again.params["fingerprint"] == first.params["fingerprint"]
    assert len(labelled) == 8 and set(again.metrics["product"]) == {"00"}


def test_clips_that_cannot_be_scored_are_reported_before_training(corpus, tmp_path, monkeypatch):
    for path in corpus.glob("pump/train/section_01*"):
        path.unlink()
    monkeypatch.setattr(serial, "train_encoder", None)
    with pytest.raises(
        InputError, match=r"pump: product IDs \['01'\] are tested but have no train"
    ):
        execute(corpus, out_dir=tmp_path)


def test_a_machine_type_without_test_clips(tmp_path):
    with pytest.raises(InputError, match="clock: no test clips to score"):
        runs.execute(
            "uav", "clock", data_dir=shared("real-mini"), progress=False, out_dir=tmp_path,
            **SMALL | {"epochs": 1, "batch_size": 64},
        )  # fmt: skip
    assert not list(tmp_path.rglob("*.*"))


def test_a_single_product_id_on_real_recordings(tmp_path):
    run = runs.execute(
        "uav", "fan", data_dir=shared("real-mini"), progress=False, out_dir=tmp_path,
        **SMALL | {"epochs": 1, "batch_size": 64},
    )  # fmt: skip
    assert run.params["choice"]["chosen_by"] == "default: no labelled validation IDs"
    assert 0 <= run.result("GMM") <= 1 and (run.scores.role == "test").all()


def test_profiles_are_the_papers():
    paper = make_profile("paper", "ToyTrain")
    assert (paper.learning_rate, paper.batch_size, paper.product_weight) == (5e-4, 32, 0.1)
    assert (paper.inlier, paper.inlier_size, paper.epochs, paper.pretrained) == (
        "LOF",
        8,
        300,
        True,
    )
    assert make_profile("paper", "gearbox").inlier_size == 64
    assert make_profile("paper", "uav").product_weight == 10
    for variant, (_, changes, quick) in VARIANTS.items():
        changed = quick | changes
        profile = make_profile("quick", "fan", variant)
        default = PROFILES["quick"]
        differs = {k for k, v in profile.to_dict().items() if default.to_dict()[k] != v}
        assert differs <= set(changed)
        assert {name: getattr(profile, name) for name in changed} == changed


def test_overrides_of_a_notebook():
    names = ("corpus", "seed")
    found = overrides_in({"corpus": "c", "seed": 1, "epochs": 3, "_": 1, "In": []}, names)
    assert found == {"epochs": 3}
    with pytest.raises(
        InputError, match="unknown parameter 'epoch'; known: corpus, seed, segment_seconds"
    ):
        overrides_in({"corpus": "c", "seed": 1, "epoch": 3}, names)
    assert make_profile("quick", "fan", learning_rate="1e-2", inlier_sizes=[2]).inlier_sizes == (2,)
    with pytest.raises(InputError, match="epochs is 'ten'; expected int"):
        make_profile("quick", "fan", epochs="ten")


def test_paths_are_known_in_one_place(tmp_path, monkeypatch):
    monkeypatch.setenv("ASDLIB_ROOT", str(tmp_path))
    assert paths.data_dir("simulated") == tmp_path / "data" / "simulated"
    folder = Plan("c", "fan.1", seed=3, out_dir=tmp_path / "o").folder
    assert folder.parent == tmp_path / "o" / "c" / "fan.1"
    assert folder.name.startswith("proposed-s3-")


def test_params_record_is_plain_json(noise, tmp_path):
    run = execute(noise, out_dir=tmp_path, variant="product-only")
    record = json.loads((run.folder / "params.json").read_text())
    assert record["profile"]["machine_weight"] == 0
    assert record["train"]["versions"]["torch"] == torch.__version__.split("+")[0]
