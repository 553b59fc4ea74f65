"""Settings of the lecture decks, which `make slides` builds from chapters of the book."""

import base64
import io

import soundfile
from docutils import nodes
from docutils.parsers.rst import Directive

from asdlib.profiles import SAMPLE_RATE
from asdstudy.data.simulate import ClipName, Simulation, simulate_clip
from asdstudy.report import findings, results

project = "The serial method"
author = "The asdlib authors"
extensions = ["myst_parser", "sphinx_revealjs", "sphinx-mathjax-offline"]
myst_enable_extensions = ["amsmath", "dollarmath"]
include_patterns = ["slides/*"]  # the folder above is the source: chapters name files from there
root_doc = "slides/index"
suppress_warnings = ["myst.header"]  # what is taken from a chapter may begin below its title

revealjs_style_theme = "white"
revealjs_static_path = ["_static"]
revealjs_css_files = ["slides.css"]
revealjs_script_conf = {
    "hash": True,
    "slideNumber": "c/t",
    "transition": "none",
    "width": 1100,
    "height": 700,
}


class Player(Directive):
    """A simulated clip to listen to: machine type, product ID, label, number; or another name."""

    required_arguments = 4
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        machine_type, product, label, number, *words = self.arguments
        named = ClipName(machine_type, int(product), "test", label, int(number))
        clip = simulate_clip(Simulation(), named)
        file = io.BytesIO()
        # the same peak for all: the level of a recording says little about its machine
        sound = 0.5 * clip.audio / abs(clip.audio).max()
        soundfile.write(file, sound, SAMPLE_RATE, format="WAV", subtype="PCM_16")
        source = "data:audio/wav;base64," + base64.b64encode(file.getvalue()).decode()
        name = words[0] if words else f"{machine_type}, ID {product}, {clip.fault or 'normal'}"
        player = f'<p class="player">{name}<br><audio controls src="{source}"></audio></p>'
        return [nodes.raw("", player, format="html")]


class Claims(Directive):
    """The table of the page Findings: what came out for each claim, on each sound."""

    def run(self) -> list[nodes.Node]:
        table = findings.claim_table(findings.answers(results.measured("ablation", "rivals")))
        return [nodes.raw("", table.to_html(border=0, escape=False), format="html")]


def setup(app) -> None:
    app.add_directive("player", Player)
    app.add_directive("claims", Claims)
