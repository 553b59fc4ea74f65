"""The study on a real Slurm: one node on this computer, through the profile of the repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

SCRIPT = ROOT / "tests/slurm.sh"
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
STUDY = {
    "corpus": "simulated",
    "data_dir": "data/small",
    "machine_types": ["fan", "slider"],
    "variants": ["proposed"],
    "overrides": {
        machine_type: {"epochs": 1, "batch_size": 16, "inlier_sizes": [1], "segments": 2}
        for machine_type in ("fan", "slider")
    },
    "simulation": {
        "machine_types": ["fan", "slider"], "products": 2, "train_clips": 16, "test_clips": 4,
        "clip_seconds": 1,
    },
}  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The folder of a running Slurm, and the environment to use it with."""
    path = os.environ["PATH"] + os.pathsep + "/usr/sbin"
    missing = [name for name in NEEDED if not shutil.which(name, path=path)]
    if missing:
        pytest.skip(f"no {', '.join(missing)} on this computer: apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons are started as root only")
    folder = tmp_path_factory.mktemp("slurm")
    started = subprocess.run(
        [SCRIPT, "start", folder], env=os.environ | {"PATH": path}, timeout=180,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if started.returncode:
            pytest.skip(f"Slurm does not start here: {started.stderr.strip()}")
        places = [folder / "bin", Path(sys.executable).parent, path]
        yield (
            folder,
            os.environ
            | {
                "SLURM_CONF": str(folder / "slurm.conf"),
                "PATH": os.pathsep.join(map(str, places)),
                "PYTHONPATH": str(ROOT),
            },
        )
    finally:
        subprocess.run([SCRIPT, "stop", folder], check=True, timeout=60)


def submit(slurm, folder: Path, study: dict) -> subprocess.CompletedProcess:
    """Submit each run of a study as a job, by ``profiles/slurm``, with shorter waits."""
    _, environment = slurm
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--directory", folder]
        + ["--profile", ROOT / "profiles/slurm", "--set-threads", "corpus=1", "train=1", "embed=1"]
        + ["--latency-wait", "10", "--slurm-no-account", "--slurm-status-command", "squeue"]
        + ["--slurm-init-seconds-before-status-checks", "1"]
        + ["--seconds-between-status-checks", "1"]
        + ["--config", f"study={folder / 'study.yaml'}", "--", "runs"],
        env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900,
    )  # fmt: skip


def ended(slurm) -> list[dict]:
    """What Slurm itself wrote of each job that ended."""
    lines = (slurm[0] / "completed.txt").read_text().splitlines()
    return [dict(word.partition("=")[::2] for word in line.split()) for line in lines]


def test_a_study_of_two_runs(slurm, tmp_path):
    done = submit(slurm, tmp_path, STUDY)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    for machine_type in STUDY["machine_types"]:
        (run,) = (tmp_path / "runs/simulated" / machine_type).glob("proposed-s0-*")
        assert {"params.json", "scores.csv", "metrics.csv"} <= {p.name for p in run.iterdir()}
    jobs = ended(slurm)
    assert [job["JobState"] for job in jobs] == [
        "COMPLETED"
    ] * 9  # the corpus and two runs of four stages
    assert all(job["NodeList"] == "localhost" for job in jobs)


def test_a_failed_job_fails_the_study(slurm, tmp_path):
    before = len(ended(slurm))
    # too few clips for that, which the first job of the run says
    wrong = STUDY | {"machine_types": ["fan"], "overrides": {"fan": {"inlier_size": 5000}}}
    done = submit(slurm, tmp_path, wrong)
    assert done.returncode != 0
    states = {job["JobState"] for job in ended(slurm)[before:]}
    assert "FAILED" in states
    assert not list(tmp_path.glob("runs/simulated/*/*/metrics.csv"))
