"""The runs behind the pages that measure something: real recordings, switches, dials."""

from collections.abc import Sequence
from pathlib import Path

from asdstudy import paths
from asdstudy.data import is_corpus
from asdstudy.data.simulate import Simulation, make_corpus
from asdstudy.runs.plan import Which
from asdstudy.runs.sweeps import Job


def uav_folder(data_dir="", machine_type: str = "uav") -> Path:
    """The folder of the real recordings: ``data_dir``, ``../shared/real-mini`` or ``data/uav``."""
    places = [paths.project_root().parent / "shared" / "real-mini", paths.data_dir("uav")]
    present = [place for place in places if is_corpus(place, machine_type)]
    return paths.chosen(data_dir, (present or places)[0])


def switch_jobs(board, corpora, seeds: Sequence[int], arguments: dict) -> list[Job]:
    """A job for each setting of the switch ``board``, each of the ``corpora`` and each seed.

    ``board`` lists triples of a switch, a setting and the fields of the profile that it changes;
    ``corpora`` those of a corpus, a machine type and a folder. All runs share ``arguments``.
    """
    shared = {"variant": "proposed", "out_dir": paths.runs_dir() / "switches"} | arguments
    seeds = Which(seeds=seeds).seeds
    return [
        Job(
            {**shared, "corpus": corpus, "machine_type": name, "data_dir": folder, "seed": seed}
            | changed,
            {"switch": switch, "setting": setting},
        )
        for switch, setting, changed in board
        for corpus, name, folder in corpora
        for seed in seeds
    ]


def dial_jobs(
    settings: dict[str, Sequence[float]], clips: dict, jobs: Sequence[Job], make: bool, workers: int
) -> list[Job]:
    """Each of the ``jobs`` on a corpus for each of the ``settings`` of the simulator's dials.

    The other dial keeps its default; ``clips`` are other fields of :class:`Simulation`. With
    ``make`` it makes the corpora, in ``workers`` processes.
    """
    turned = []
    for dial, value in sorted({(name, value) for name in settings for value in settings[name]}):
        simulation = Simulation(**clips, **{dial: value})
        name = f"p{simulation.product_similarity:g}-m{simulation.machine_similarity:g}"
        folder = paths.data_dir("similarity") / name
        if make:
            make_corpus(folder, simulation, workers=workers or None)
        place = {"corpus": f"similarity-{name}", "data_dir": folder}
        place["out_dir"] = paths.runs_dir() / "similarity"
        labels = {"dial": dial, "setting": value, **clips}
        turned += [Job(job.arguments | place, labels) for job in jobs]
    return turned
