"""The console command ``asd``; ``asd --help`` lists its commands.

A command is a function below ``@app.command()``: its docstring is the help, its annotated
parameters are the arguments and options. What takes long to import is imported inside it.
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from asdlib.errors import InputError
from asdstudy.data.settings import Adoption, Recipe, Simulation
from asdstudy.options import with_options
from asdstudy.runs.commands import add_stages
from asdstudy.use.commands import add_use
from asdstudy.words import counted


class Commands(typer.core.TyperGroup):
    """Commands that answer an :class:`InputError` with one line, and Ctrl-C with one sentence."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            stop = SystemExit(f"error: {error}")
            stop.code = 2  # as for a wrong option
            raise stop from None
        except KeyboardInterrupt:
            sys.exit("stopped; what is finished stays, and the same command goes on")


PLAIN = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "no_args_is_help": True}
app = typer.Typer(
    cls=Commands,
    add_completion=False,
    help="Detect anomalous sound: make corpora, train, score.",
    **PLAIN,
)
fetch = typer.Typer(help="Download a public corpus.", **PLAIN)
app.add_typer(fetch, name="fetch")
add_stages(app, **PLAIN)
add_use(app)

Types = Annotated[str, Option(metavar="TYPE,...", help="machine types; all seven by default")]
Beside = Annotated[
    list[Path],
    Option(
        metavar="DIR/TYPE",
        help="add a machine type of another corpus by a link, for Eq. 2; can be repeated",
    ),
]
Server = Annotated[str | None, Option(metavar="URL", help="a mirror to download from")]


@app.command(short_help="List what is in a folder.")
def describe(folder: Annotated[Path, Argument(metavar="DIR", help="the folder of a corpus")]):
    """Count the clips in a folder, and list the files that cannot be used.

    Clips are counted by machine type, product ID, domain, split and label. Every file that is not a
    clip of the corpus is listed with the reason.
    """
    from asdstudy.data.describe import describe

    print(describe(folder))


@app.command()
@with_options(Adoption, cut_seconds="--cut")
def adopt(
    adoption: Adoption,
    folder: Annotated[Path, Argument(metavar="FOLDER", help="the folder with your recordings")],
    out: Annotated[Path, Argument(metavar="OUT", help="the corpus to make or to add to")],
    machine_type: Annotated[str, Option(metavar="NAME", help="name of the machine type")],
    beside: Beside = (),
):
    """Make a corpus from your own recordings.

    The recordings in FOLDER/<product>/normal/ and, if there are any, in FOLDER/<product>/anomaly/
    (or abnormal/) become the machine type NAME of the corpus OUT. Files in a subfolder of normal/
    are parts of one recording. The machine type is written completely or not at all, and nothing is
    converted unless an option asks for it.
    """
    from asdstudy.data.adopt import adopt

    _show(adopt(folder, out, machine_type, adoption, beside))


@fetch.command(short_help="Download the paper's data from Zenodo.")
def dcase2021(
    folder: Annotated[
        Path | None, Argument(help="where to put it; data/dcase2021 by default")
    ] = None,
    machine_types: Types = "",
    workers: Annotated[int, Option(min=1, help="zip files to download at once")] = 4,
    keep_zips: Annotated[
        bool, Option("--keep-zips", help="keep the zip files after unpacking")
    ] = False,
    server: Server = None,
):
    """Download the paper's data from Zenodo.

    This is DCASE 2021 Task 2. Sections 00 to 05 go into one folder, with the labels of all clips.
    """
    from asdstudy.data.fetch import fetch

    types = {"machine_types": machine_types.split(",")} if machine_types else {}
    _show(fetch(folder, server=server, workers=workers, keep_zips=keep_zips, **types))


@fetch.command(short_help="Download recordings of a drone from GitHub.")
@with_options(Recipe)
def uav(
    recipe: Recipe,
    folder: Annotated[Path | None, Argument(help="where to put it; data/uav by default")] = None,
    beside: Beside = (),
    revision: Annotated[
        str | None, Option(help="commit or branch; by default a commit known to be complete")
    ] = None,
    keep_zip: Annotated[
        bool, Option("--keep-zip", help="keep the archive after unpacking")
    ] = False,
    server: Server = None,
):
    """Download recordings of a drone with broken propellers from GitHub.

    This is the UAV Propeller Anomaly Audio Dataset. Its flights are split into training and test,
    cut into clips and mixed with noise. GitHub publishes no checksums, so source.json, beside the
    clips, records the commit and the SHA-256 of the archive.
    """
    from asdstudy.data.uav import fetch_uav

    _show(fetch_uav(folder, recipe, beside, server, revision, keep_zip=keep_zip))


@app.command()
@with_options(Simulation)
def simulate(
    simulation: Simulation,
    out: Annotated[Path, Argument(metavar="OUT", help="the folder of the corpus")],
    machine_types: Types = "",
    workers: Annotated[
        int | None, Option(min=1, help="number of processes; one per core by default")
    ] = None,
):
    """Make a corpus of simulated machines.

    Two dials set what matters to the paper's argument and cannot be varied in recordings: how
    alike the product IDs of a machine type are, and how alike the machine types are. A corpus that
    already exists is kept; one that was interrupted is completed.
    """
    from asdstudy.data.simulate import MACHINE_TYPES, make_corpus

    types = machine_types.split(",") if machine_types else MACHINE_TYPES
    begun = time.perf_counter()
    make_corpus(out, simulation, types, workers)
    print(f"{out}: {', '.join(types)} in {time.perf_counter() - begun:.1f} s")


Names = Annotated[str, Option(metavar="NAME,...", help="all that have runs by default")]


@app.command()
def collect(
    corpus: Annotated[str, Argument(help="the corpus of the runs")],
    out: Annotated[Path, Argument(metavar="CSV", help="the table to write")],
    machine_types: Names = "",
    variants: Names = "",
    seeds: Annotated[str, Option(metavar="SEED,...", help="all that have runs by default")] = "",
    profile: Annotated[
        str, Option(help="profile of the runs; needed only if there are several")
    ] = "",
    overrides: Annotated[str, Option(help="fields of the profile by machine type, as JSON")] = "{}",
    out_dir: Annotated[
        Path | None, Option(metavar="DIR", help="folder that holds the runs; runs by default")
    ] = None,
):
    """Collect finished runs in one table.

    It has one row for each run, product ID and h.
    """
    from asdstudy.report.results import collect, save
    from asdstudy.runs.plan import yaml_value
    from asdstudy.runs.run import find_runs

    names = [[name for name in words.split(",") if name] for words in (machine_types, variants)]
    numbers, fields = yaml_value("seeds", f"[{seeds}]"), yaml_value("overrides", overrides)
    runs = find_runs(corpus, *names, numbers, out_dir, profile, fields)
    print(f"{save(collect(runs), out)}: {counted(len(runs), 'run')}")


@app.command(short_help="Compute the scores of the DCASE challenge.")
def official(
    submission: Annotated[Path, Argument(metavar="SUBMISSION", help="a folder of CSV files")],
    truth: Annotated[Path, Option(metavar="FOLDER", help="folder of the organisers' ground truth")],
    year: Annotated[int, Option(help="year of the challenge")],
    out: Annotated[
        Path | None, Option(dir_okay=False, help="CSV file to write the table to")
    ] = None,
):
    """Compute the official scores of a submission to DCASE Task 2.

    SUBMISSION holds anomaly_score_*.csv and, from 2021 on, decision_result_*.csv. The folder of
    --truth holds ground_truth_data/ and, from 2022 on, ground_truth_domain/; for 2020 it holds
    eval_data_list.csv.
    """
    from asdstudy.official import official

    official(submission, truth, year, out)


def _show(folder: Path) -> None:
    from asdstudy.data import summary
    from asdstudy.data.corpora import index

    clips = index(folder)
    print(f"{folder}:\n{summary(clips).to_string()}")
    if clips.machine_type.nunique() == 1:
        print("No other machine type is beside it, for Eq. 2 to learn from: see --beside.")
