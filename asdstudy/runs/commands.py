"""``asd run``, and ``asd stage train``, ``embed``, ``score``, ``evaluate``, its stages."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from asdlib.errors import InputError
from asdlib.profiles import PROFILES
from asdstudy.runs.plan import Plan, yaml_value
from asdstudy.runs.record import identity_of, is_done, place_of
from asdstudy.systems import VARIANTS
from asdstudy.words import counted

STAGES = {
    "train": "Train the encoder: writes encoder.safetensors and history.csv.",
    "embed": "Embed the clips: writes embeddings.npz.",
    "score": "Choose h and p, and score the test clips: writes scores.csv. Needs no corpus.",
    "evaluate": "Compute AUC and pAUC: writes metrics.csv. Needs no corpus.",
}
SAME = """

    A stage is not repeated if its result is already there, made with the same parameters, sound and
    code. A run that differs from another one only in how it scores takes over its encoder. The last
    line of the output is the run's folder, which is named after the options below except
    --data-dir. Until all stages are done, the files are in a hidden folder beside it.
"""


def add_stages(app: typer.Typer, **settings) -> None:
    """Add the commands to ``app``, all with the options that name a run."""
    app.command("run", help="Make a run: train, embed, score and evaluate." + SAME)(
        _command(*STAGES)
    )
    stages = typer.Typer(help="Carry out one stage of a run.", **settings)
    app.add_typer(stages, name="stage")
    for name, meaning in STAGES.items():
        short = meaning.partition(":")[0] + "."
        stages.command(name, help=meaning + SAME, short_help=short)(_command(name))


def _command(*names: str):
    def command(
        corpus: Annotated[str, Argument(help="simulated, uav, dcase2021 or the name of your own")],
        machine_type: Annotated[str, Argument(help="the target: a folder of the corpus")],
        variant: Annotated[str, Option(help=", ".join(VARIANTS))] = "proposed",
        profile: Annotated[str, Option(help=", ".join(PROFILES))] = "quick",
        seed: Annotated[int, Option(help="random seed")] = 0,
        changes: Annotated[
            list[str],
            Option(
                "--set",
                metavar="FIELD=VALUE",
                help="change a field of the profile; can be repeated",
            ),
        ] = (),
        data_dir: Annotated[
            Path | None,
            Option(metavar="DIR", help="folder of the corpus; data/<corpus> by default"),
        ] = None,
        out_dir: Annotated[
            Path | None, Option(metavar="DIR", help="folder that holds the runs; runs by default")
        ] = None,
    ):
        from asdstudy.data import open_corpus

        overrides = dict(map(_field, changes))
        plan = Plan(corpus, machine_type, variant, profile, seed, overrides, out_dir)
        progress, banks = sys.stderr.isatty(), None
        if {"train", "embed"} & {*names}:
            domain = plan.profile.domain
            _, banks = open_corpus(corpus, data_dir, machine_type, progress, domain)
        for name in names:
            if name == "train" or not _is_done(plan, name, banks):
                from asdstudy.runs import stages  # after the check: torch takes seconds

                words = (banks, progress) if name in ("train", "embed") else ()
                getattr(stages, name)(plan, *words)
        if name == "evaluate":
            from asdstudy.runs.run import Run  # brings scikit-learn

            print(_in_short(Run(plan.folder)))
        print(place_of(plan))

    return command


def _is_done(plan: Plan, stage: str, banks) -> bool:
    try:
        return is_done(plan, stage, identity_of(plan, stage, banks))
    except InputError:  # a stage before it is missing, or it is in the run beside
        return False


def _in_short(run) -> str:
    """What the chosen h of a run reached, in a line."""
    areas = run.metrics[run.metrics.chosen]
    if areas.empty:
        return "no labelled test clips: scores without AUC"
    h, p = areas.inlier.iloc[0], areas["size"].iloc[0]
    auc, pauc = 100 * areas[["AUC", "pAUC"]].mean()
    return (
        f"h = {h}{f' (p = {p})' if p else ''}: AUC {auc:.1f} %, pAUC {pauc:.1f} %, means over "
        f"{counted(len(areas), 'product ID')}; harmonic mean of both {100 * run.result():.1f} %"
    )


def _field(words: str) -> tuple[str, object]:
    """``FIELD=VALUE``, the value as YAML."""
    name, equals, value = words.partition("=")
    if not equals:
        raise InputError(f"--set {words}: expected FIELD=VALUE, as in epochs=20")
    return name, yaml_value(name, value)
