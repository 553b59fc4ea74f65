"""The text of the book: its references have targets, and what it says of fields and files holds."""

import json
import re
from typing import get_args

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from asdlib import metrics
from asdlib.profiles import Profile, make_profile
from workflow import pictures

BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def prose(path) -> str:
    """A chapter, or the markdown cells of a notebook."""
    if path.suffix == ".md":
        return path.read_text()
    cells = json.loads(path.read_text())["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def roles(text: str, *names: str) -> set[str]:
    """What ``{name}`target` `` and ``{name}`text <target>` `` of the roles ``names`` refer to."""
    bodies = re.findall(rf"\{{(?:{'|'.join(names)})\}}`([^`]+)`", text)
    return {" ".join(re.sub(r".*<(.+)>", r"\1", body, flags=re.DOTALL).split()) for body in bodies}


TEXT = "\n\n".join(map(prose, [*CHAPTERS, *NOTEBOOKS]))
WORKS = set(re.findall(r"^@\w+\{(.+),$", (BOOK / "references.bib").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", [*CHAPTERS, *NOTEBOOKS], ids=lambda path: path.stem)
def test_every_reference_has_its_target(path):
    text = prose(path)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = {toc["root"]} | {page["file"] for part in toc["parts"] for page in part["chapters"]}
    labels = set(re.findall(r"^:?(?:label|name): (.+)$|^\((.+)\)=$", TEXT, re.MULTILINE))
    labels = {label for pair in labels for label in pair if label}
    terms = (BOOK / "glossary.md").read_text().split("```")[1]
    terms = set(re.findall(r"^(?!\{)(\S.*)$", terms, re.MULTILINE))
    assert roles(text, "doc") <= pages
    assert roles(text, "ref", "eq", "numref") <= labels
    assert {term.lower() for term in roles(text, "term")} <= {term.lower() for term in terms}
    works = {
        w.strip() for works in roles(text, "cite", "cite:t", "cite:p") for w in works.split(",")
    }
    assert works <= WORKS


def test_every_work_of_the_bibliography_is_cited():
    assert WORKS == roles(TEXT, "cite", "cite:t", "cite:p")


def test_the_switch_board_holds_fields_and_values_that_profiles_take():
    """The table of the chapter `paper-and-code`: its defaults, no unknown value, none left out."""
    table = (BOOK / "paper-and-code.md").read_text().split(":name: tab-switches")[1].split("```")[0]
    for row in table.split("\n* - ")[2:]:
        field, default, others, _ = (cell.strip() for cell in row.split("\n  -"))
        field = field.strip("`")
        for name in ("paper", "quick"):
            profile = make_profile(name, "another")
            # "`positive` in `paper`, `negative` in `quick`", or one for both
            value = re.search(rf"(\S+) in `{name}`", default) or re.match("(.*)", default)
            assert profile.replace(**{field: read(value[1])}) == profile, f"{field} in {name}"
        words = set(re.findall(r"`([\w-]+)`", default + others))
        assert set(get_args(Profile.model_fields[field].annotation)) <= words, field
        for value in map(read, others.split(", ")):
            if value not in (None, "a positive number"):
                make_profile("quick", "another", **{field: value})


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_picture_has_number_caption_and_alternative_text(path):
    text = path.read_text()
    for file, options, caption in re.findall(
        r"```{figure} (\S+)\n---\n(.*?)\n---\n(.*?)```", text, re.DOTALL
    ):
        options = yaml.safe_load(options)
        assert (BOOK / file).exists() and caption.strip(), file
        assert f"{{numref}}`{options['name']}`" in text, file
        assert len(options["alt"].split()) > 20, file
    assert text.count("```{figure}") == len(re.findall(r"```{figure} \S+\n---\n", text))


def test_drawn_numbers_are_the_computed_ones_and_those_of_the_chapters(tmp_path):
    pictures.main(tmp_path)
    for file in tmp_path.iterdir():
        assert written(file) == written(BOOK / "_static" / file.name), "python workflow/pictures.py"
    chapter = (BOOK / "scoring.md").read_text()
    for name, scores in {"normal": pictures.NORMAL, "anomalous": pictures.ANOMALOUS}.items():
        assert f"{name}\n: {', '.join(map(str, scores))}\n" in chapter
    (table,) = re.findall(r":name: tab-mixup\n(.*?)```", TEXT, re.DOTALL)
    labels = re.findall(r"  - (\S+)\n  - (\(.+\))", table)
    drawing = (BOOK / "_static/batch.svg").read_text()
    assert labels == re.findall(r">t = ([^<]+)<.*?>y = (\(.+\))<", drawing)


def written(path) -> list[str]:
    """The words and numbers in a picture."""
    return re.findall(r"<text[^>]*>(.*?)</text>", path.read_text(), re.DOTALL)


def read(cell: str):
    """A value as the table writes it: a word in backticks, a number, True or False."""
    return cell.strip("`") if cell.startswith("`") else yaml.safe_load(cell)


def test_the_chapter_on_scoring_reads_what_a_run_writes(tmp_path, monkeypatch):
    """Score files and no decisions, so the evaluator of 2021 needs more, as the chapter says."""
    chapter = (BOOK / "scoring.md").read_text()
    labels = ["normal", "anomaly"] * 5
    files = [f"section_03_source_test_{label}_{n:04}.wav" for n, label in enumerate(labels)]
    scores = pd.DataFrame(dict(file=files, product="03", domain="source", score=range(10)))
    (written,) = metrics.write_submission(scores, "fan", tmp_path)
    monkeypatch.chdir(tmp_path)
    namespace = {}
    (snippet,) = re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)
    exec(snippet, namespace)
    assert written.name in snippet and "decision_result_" in chapter
    assert namespace["scores"].label.tolist() == labels
