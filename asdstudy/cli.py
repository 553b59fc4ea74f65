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


class Commands(typer.core.TyperGroup):
    """Commands of which an :class:`InputError` is one line, and Ctrl-C one sentence."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            stop = SystemExit(f"error: {error}")
            stop.code = 2  # as of a wrong option
            raise stop from None
        except KeyboardInterrupt:
            sys.exit("stopped; what is finished stays, and the same command goes on")


PLAIN = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "no_args_is_help": True}
app = typer.Typer(
    cls=Commands, add_completion=False, help="Anomalous sound detection: data and runs.", **PLAIN
)
fetch = typer.Typer(help="Download a public corpus.", **PLAIN)
app.add_typer(fetch, name="fetch")
add_stages(app, **PLAIN)
add_use(app)

Types = Annotated[str, Option(metavar="TYPE,...", help="machine types; all seven unless named")]
Beside = Annotated[
    list[Path],
    Option(
        metavar="DIR/TYPE",
        help="link another corpus's machine type into this one, for L_machine; may be repeated",
    ),
]
Server = Annotated[str | None, Option(metavar="URL", help="a mirror to fetch from")]


@app.command()
def describe(folder: Annotated[Path, Argument(metavar="DIR", help="the folder of a corpus")]):
    """Count the clips of a folder, and list what cannot be used.

    Counts by machine type, product ID, domain, split and label, and lists every file that could
    not be placed, with the reason.
    """
    from asdstudy.data.describe import describe

    print(describe(folder))


@app.command()
@with_options(Adoption, cut_seconds="--cut")
def adopt(
    adoption: Adoption,
    folder: Annotated[Path, Argument(metavar="FOLDER", help="your recordings")],
    out: Annotated[Path, Argument(metavar="OUT", help="the corpus, new or to be added to")],
    machine_type: Annotated[str, Option(metavar="NAME", help="what they are of")],
    beside: Beside = (),
):
    """Make a corpus of your own recordings.

    Makes the machine type NAME of the corpus OUT from recordings sorted into
    FOLDER/<product>/normal/ and, where there are any, FOLDER/<product>/anomaly/. Files in a folder
    below normal/ are parts of one recording. It is written whole or not at all, and nothing is
    converted unless an option asks for it.
    """
    from asdstudy.data.adopt import adopt

    _show(adopt(folder, out, machine_type, adoption, beside))


@fetch.command()
def dcase2021(
    folder: Annotated[Path | None, Argument(help="where to; data/dcase2021 unless named")] = None,
    machine_types: Types = "",
    workers: Annotated[int, Option(min=1, help="zips side by side")] = 4,
    keep_zips: Annotated[bool, Option("--keep-zips", help="do not delete unpacked zips")] = False,
    server: Server = None,
):
    """The paper's data, from Zenodo.

    Fetches DCASE 2021 Task 2: sections 00 to 05 in one tree, labelled.
    """
    from asdstudy.data.fetch import fetch

    types = {"machine_types": machine_types.split(",")} if machine_types else {}
    _show(fetch(folder, server=server, workers=workers, keep_zips=keep_zips, **types))


@fetch.command()
@with_options(Recipe)
def uav(
    recipe: Recipe,
    folder: Annotated[Path | None, Argument(help="where to; data/uav unless named")] = None,
    beside: Beside = (),
    revision: Annotated[
        str | None, Option(help="commit or branch; a commit known to be whole unless named")
    ] = None,
    keep_zip: Annotated[bool, Option("--keep-zip", help="do not delete the archive")] = False,
    server: Server = None,
):
    """Drones with broken propellers, from GitHub.

    Fetches the UAV Propeller Anomaly Audio Dataset, and cuts it to clips with noise, split by
    flight. GitHub publishes no checksums: source.json beside the clips keeps the commit and the
    SHA-256 of what came.
    """
    from asdstudy.data.uav import fetch_uav

    _show(fetch_uav(folder, recipe, beside, server, revision, keep_zip=keep_zip))


@app.command()
@with_options(Simulation)
def simulate(
    simulation: Simulation,
    out: Annotated[Path, Argument(metavar="OUT", help="the folder of the corpus")],
    machine_types: Types = "",
    workers: Annotated[int | None, Option(min=1, help="processes; one per core by default")] = None,
):
    """Make a corpus of simulated machines.

    Two dials turn what the paper argues about and no recording lets one turn: how alike the product
    IDs of a machine type are, and how alike the machine types are. A corpus that is there is kept,
    and one cut short is gone on with.
    """
    from asdstudy.data.simulate import MACHINE_TYPES, make_corpus

    types = machine_types.split(",") if machine_types else MACHINE_TYPES
    begun = time.perf_counter()
    make_corpus(out, simulation, types, workers)
    print(f"{out}: {', '.join(types)} in {time.perf_counter() - begun:.1f} s")


Names = Annotated[str, Option(metavar="NAME,...", help="all that there are unless named")]


@app.command()
def collect(
    corpus: Annotated[str, Argument(help="the corpus that the runs are of")],
    out: Annotated[Path, Argument(metavar="CSV", help="the table to write")],
    machine_types: Names = "",
    variants: Names = "",
    seeds: Names = "",
    profile: Annotated[str, Option(help="of the runs; the only one there is unless named")] = "",
    overrides: Annotated[str, Option(help="fields by machine type, as JSON")] = "{}",
    out_dir: Annotated[Path | None, Option(metavar="DIR", help="root of the run folders")] = None,
):
    """Collect finished runs into a table of results: one row per run, product ID and h."""
    from asdstudy.report.results import collect, save
    from asdstudy.runs.plan import yaml_value
    from asdstudy.runs.run import find_runs

    names = [[name for name in words.split(",") if name] for words in (machine_types, variants)]
    numbers, fields = yaml_value("seeds", f"[{seeds}]"), yaml_value("overrides", overrides)
    runs = find_runs(corpus, *names, numbers, out_dir, profile, fields)
    print(f"{save(collect(runs), out)}: {len(runs)} runs")


@app.command()
def official(
    submission: Annotated[Path, Argument(metavar="SUBMISSION", help="a folder of CSV files")],
    truth: Annotated[Path, Option(metavar="FOLDER", help="the organisers' ground truth")],
    year: Annotated[int, Option(help="of the challenge")],
    out: Annotated[Path | None, Option(dir_okay=False, help="a CSV file for the table")] = None,
):
    """Compute the official scores of a submission to DCASE Task 2.

    The submission holds anomaly_score_*.csv and, from 2021 on, decision_result_*.csv. FOLDER holds
    ground_truth_data/ and, from 2022 on, ground_truth_domain/; for 2020, eval_data_list.csv.
    """
    from asdstudy.official import official

    official(submission, truth, year, out)


def _show(folder: Path) -> None:
    from asdstudy.data import summary
    from asdstudy.data.corpora import index

    clips = index(folder)
    print(f"{folder}:\n{summary(clips).to_string()}")
    if clips.machine_type.nunique() == 1:
        print("No other machine type is beside it: L_machine has no negatives; see --beside.")
