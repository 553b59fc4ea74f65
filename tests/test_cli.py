"""The console command: help for every command, one line for an error, and a light start."""

import os
import subprocess
import sys

import pytest
import typer
from conftest import ROOT, asd

from asdlib.errors import InputError
from asdstudy.cli import app
from asdstudy.data import describe
from asdstudy.data.settings import Adoption, Recipe, Simulation
from workflow.commands import page


def commands(group=None, words=()):
    """The words of every command, groups too."""
    group = group or typer.main.get_command(app)
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


def test_the_page_of_commands_is_what_they_say():
    """To update it: python workflow/commands.py"""
    written = (ROOT / "book/commands.md").read_text()
    assert written == page()


def said(*words):
    return subprocess.run(
        [sys.executable, "-m", "asdstudy", *words], cwd=ROOT, capture_output=True, text=True
    )


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_a_help(words, capsys):
    asd(*words, "--help")
    text = capsys.readouterr().out
    assert f"Usage: asd {' '.join(words)}".strip() in text
    assert text.split("\n\n")[1].strip().endswith(".")


@pytest.mark.parametrize(
    "words, settings", [("adopt", Adoption), ("fetch uav", Recipe), ("simulate", Simulation)]
)
def test_each_setting_is_an_option_with_its_default(words, settings, capsys):
    asd(*words.split(), "--help")
    text = " ".join(capsys.readouterr().out.split())
    for name, field in settings.model_fields.items():
        word = "--cut" if name == "cut_seconds" else "--" + name.replace("_", "-")
        option = text.split(f" {word} ")[1].split(" --")[0]
        assert field.description in option
        if field.default not in (None, False):
            default = str(field.default).strip("(),").replace(" ", "").replace("'", "")
            assert f"[default: {default}]" in option


def test_an_error_is_one_line_and_status_2(tmp_path):
    done = said("describe", str(tmp_path / "nowhere"))
    assert (done.returncode, done.stdout) == (2, "")
    line = (
        f"error: {tmp_path}/nowhere: no such folder; expected a corpus of <machine type>/train/\n"
    )
    assert done.stderr == line


def test_a_wrong_option_is_named(capsys):
    with pytest.raises(SystemExit) as stopped:
        app(["fetch", "dcase2021", "--workers", "0"])
    assert stopped.value.code == 2
    assert "--workers" in capsys.readouterr().err


def test_ctrl_c_is_one_sentence(monkeypatch, tmp_path):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(describe, "describe", interrupted)
    with pytest.raises(SystemExit, match="stopped; what is finished stays, and the same command"):
        asd("describe", tmp_path)


@pytest.mark.parametrize(
    "module, heavy",
    [("asdstudy.cli", "torch scipy pooch"), ("asdstudy.runs.run", "torch timm")],
    ids=["every command", "a stage that is done"],
)
def test_it_starts_without_what_takes_long_to_import(module, heavy):
    code = f"import sys, {module}; print(*{set(heavy.split())} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""


def test_settings_are_friendly_about_what_is_wrong():
    for settings, values, message in (
        (Simulation, {"severity": 1.5}, "severity is 1.5; expected less than or equal to 1"),
        (Simulation, {"seeds": 1}, "unknown simulation field 'seeds'; known: seed, product_sim"),
        (Recipe, {"broken": ("1", "x")}, "broken.1 is 'x'; expected integer"),
        (Recipe, {"broken": (0,)}, "broken.0 is 0; expected greater than 0"),
        (Adoption, {"test_share": 1.0}, "test_share is 1.0; expected less than 1"),
    ):
        with pytest.raises(InputError) as error:
            settings(**values)
        assert str(error.value).startswith(message)
