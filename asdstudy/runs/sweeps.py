"""Sweeps: many runs, in parallel, resumed where they stopped."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from joblib import Parallel, delayed
from tqdm import tqdm

from asdstudy.runs.run import Run
from asdstudy.runs.stages import execute


@dataclass(frozen=True)
class Job:
    """One run of a sweep: ``arguments`` of :func:`.stages.execute`, and what it stands for.

    ``labels`` become columns of the results, such as ``{"switch": "amplitude", "setting": "own"}``.
    """

    arguments: dict
    labels: dict = field(default_factory=dict)


def sweep(jobs: Iterable[Job], workers: int | None = None, progress: bool = True) -> list[Run]:
    """Run all jobs, ``workers`` (the cores there are) at a time with one torch thread each.

    A finished run of the same parameters and sound is not run again, so that a sweep that was
    stopped goes on. Returns the runs in the order of the jobs.
    """
    jobs = list(jobs)
    workers = workers or os.cpu_count() or 1
    # Processes of their own: torch, BLAS and OpenMP each would take all cores otherwise.
    folders = Parallel(workers, backend="loky", inner_max_num_threads=1, return_as="generator")(
        delayed(_run)(job.arguments) for job in jobs
    )
    bar = tqdm(
        folders, total=len(jobs), desc="sweep", unit="run", mininterval=5, disable=not progress
    )
    return [Run(folder) for folder in bar]


def _run(arguments: dict) -> Path:
    torch.set_num_threads(1)
    if arguments.get("profile", "quick") == "quick":  # as many processes would crowd a GPU
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    return execute(**arguments, progress=False).folder
