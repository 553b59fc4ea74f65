"""The text of the book: its references have targets, and what it says of fields and files holds."""

import ast
import json
import math
import re
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT
from pybtex.database import parse_file
from scipy.stats import ttest_1samp

from asdlib.encoder import LogMel
from asdlib.profiles import PAPER, QUICK, SAMPLE_RATE, Profile
from asdstudy.official import write_submission
from asdstudy.report import paper
from asdstudy.systems import make_profile
from workflow import pictures
from workflow.assemble import pages_of
from workflow.bibliography import AuthorYearStyle

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


REFERENCE = ("api", "bibliography", "commands", "gallery", "glossary", "protocol", "teaching")
PAGES = pages_of(yaml.safe_load((ROOT / "_toc.yml").read_text()))  # in their order
TEXT = "\n\n".join(map(prose, [*CHAPTERS, *NOTEBOOKS]))
WORKS = set(re.findall(r"^@\w+\{(.+),$", (BOOK / "references.bib").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", [*CHAPTERS, *NOTEBOOKS], ids=lambda path: path.stem)
def test_no_line_is_lost_as_a_comment(path):
    """Markdown of MyST takes a line that begins with a per cent sign for one."""
    assert not re.findall(r"^ *%.*", prose(path), re.MULTILINE)


@pytest.mark.parametrize("path", [*CHAPTERS, *NOTEBOOKS], ids=lambda path: path.stem)
def test_every_reference_has_its_target(path):
    text = prose(path)
    labels = set(re.findall(r"^:?(?:label|name): (.+)$|^\((.+)\)=$", TEXT, re.MULTILINE))
    labels = {label for pair in labels for label in pair if label}
    terms = (BOOK / "glossary.md").read_text().split("```")[1]
    terms = set(re.findall(r"^(?!\{)(\S.*)$", terms, re.MULTILINE))
    assert {page.lstrip("/") for page in roles(text, "doc")} <= set(PAGES)
    assert roles(text, "ref", "eq", "numref") <= labels
    assert {term.lower() for term in roles(text, "term")} <= {term.lower() for term in terms}
    works = {
        w.strip() for works in roles(text, "cite", "cite:t", "cite:p") for w in works.split(",")
    }
    assert works <= WORKS


# words that English has, too
COMMON = {"clip", "event", "field", "level", "run", "seed", "target", "too similar, too different"}


def glossary() -> dict[str, str]:
    """Every term, and the first page that explains it."""
    text = (BOOK / "glossary.md").read_text().split("```")[1]
    return {
        entry.split("\n")[0]: re.search(r"See \{doc\}`([^`]+)`", entry)[1]
        for entry in text.split("{glossary}\n")[1].split("\n\n")
    }


def words(text: str) -> str:
    """What of a page is read as prose: no code, formulas or options, and no role's target."""
    text = re.sub(r"```\{math\}.*?```|\$\$.*?\$\$|^```(?:python|console|text)\n.*?^```", "", text,
                  flags=re.DOTALL | re.MULTILINE)  # fmt: skip
    text = re.sub(r"^:?(?:label|name|class|header-rows): .*$|\{\w+:?\w*\} ?\S*\.\w+$", "", text,
                  flags=re.MULTILINE)  # fmt: skip
    text = re.sub(r"\{cite(?::t)?\}`[^`]*`|(?<!\})`[^`]*`|<[^>`]*>(?=`)", "", text)
    return re.sub(r"[\s*]+", " ", text)


def mentions(term: str) -> re.Pattern:
    """The term, or its plural, in a text; small letters may be capital ones."""
    stem = re.escape(term.removesuffix("y")) + ("(?:y|ies)" if term.endswith("y") else "s?")
    return re.compile(rf"\b{stem}\b", 0 if term[:2].isupper() else re.IGNORECASE)


@pytest.mark.parametrize("path", [*CHAPTERS, *NOTEBOOKS], ids=lambda path: path.stem)
def test_no_page_uses_a_term_before_the_page_that_explains_it(path):
    """Unless it links the term to the glossary."""
    name = {"train": "machines/fan"}.get(path.stem, path.stem)
    text = prose(path)
    linked = {term.lower() for term in roles(text, "term")}
    for term, explained in glossary().items():
        if PAGES.index(name) < PAGES.index(explained) and term not in COMMON:
            used = mentions(term).search(words(text))
            assert not used or term.lower() in linked, (term, explained)


def test_the_page_that_explains_a_term_links_it_to_the_glossary():
    for term, explained in glossary().items():
        if (BOOK / f"{explained}.md").exists() and term not in COMMON:
            text = (BOOK / f"{explained}.md").read_text()
            assert term.lower() in {linked.lower() for linked in roles(text, "term")}, term


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_too_similar_says_to_what_and_too_different_from_what(path):
    text = words(prose(path))
    assert re.findall(r"too similar(?! to\b| or too different from\b|[,\"])", text) == []
    assert re.findall(r"too different(?! from\b|[,\"]|\n)", text) == []


def test_works_of_the_same_authors_and_year_have_letters_in_the_order_of_the_bibliography():
    entries = parse_file(BOOK / "references.bib", bib_format="bibtex").entries.values()
    labels = [work.label for work in AuthorYearStyle().format_entries(entries)]
    assert len(labels) == len({*labels}) == len(WORKS)
    assert not re.search(r"[\\{}]", "".join(labels))
    lettered = [label for label in labels if label[-1].isalpha()]
    assert [label[-1] for label in lettered] == ["a", "b", "c"]
    assert {label[:-1] for label in lettered} == {"Wilkinghoff et al., 2025"}


@pytest.mark.parametrize("path", [*CHAPTERS, *NOTEBOOKS], ids=lambda path: path.stem)
def test_no_number_at_the_start_of_a_line_makes_a_list_of_a_sentence(path):
    """A list begins after an empty line or an option, and its items go on with an indent."""
    assert re.findall(r"^(?!\d+\. |:)\S.*\n\d+\. .*", prose(path), re.MULTILINE) == []


ASKING = [
    path.stem for path in (*CHAPTERS, *NOTEBOOKS) if re.search(r"^# .+\?$", prose(path), re.M)
]


@pytest.mark.parametrize("path", [*CHAPTERS, *NOTEBOOKS], ids=lambda path: path.stem)
def test_no_title_that_asks_stands_before_a_full_stop_or_comma(path):
    """A link without a text shows the title of its page, with its question mark."""
    assert "sides" in ASKING
    assert re.findall(rf"\{{doc}}`/?(?:{'|'.join(ASKING)})`[.,;:]", prose(path)) == []


@pytest.mark.parametrize("path", [*CHAPTERS, *NOTEBOOKS], ids=lambda path: path.stem)
def test_no_sentence_is_lost_as_the_class_of_a_block(path):
    assert re.findall(r"^:class: (?![a-z -]+$).*", prose(path), re.MULTILINE) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_title_of_a_block_has_code_in_it(path):
    """To Markdown a fence with backticks behind it is none, and the text after it is lost."""
    assert re.findall(r"^`{3,}\{.*`.*", path.read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("path", sorted(BOOK.glob("slides/?-*.md")), ids=lambda path: path.stem)
def test_what_a_slide_takes_from_a_chapter_is_there(path):
    """So that who rewrites a sentence need not build the slides to hear of it."""
    included = re.findall(r"^```\{include\} (.+)\n((?::.+\n)*)", path.read_text(), re.M)
    assert included
    for source, options in included:
        between = yaml.safe_load(re.sub("^:", "", options, flags=re.M))
        text = (path.parent / source).read_text()
        assert between["start-after"] in text, source
        assert between["end-before"] in text.split(between["start-after"], 1)[1], source


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
            if value not in ("the other one", "a positive number"):
                make_profile("quick", "another", **{field: value})


def test_the_critical_reading_says_what_the_papers_tables_say():
    """Each number of the sections on the tables and on Fig. 3, and no other, and the counts."""
    text = (BOOK / "critical-reading.md").read_text()
    first, second, maps = re.split(
        "^## (?:Table II|Table III|Figure 3|What the paper does).*$", text, flags=re.MULTILINE
    )[1:4]
    overall, types = paper.PAPER_TABLE_II[paper.ALL], paper.PAPER_TABLE_II[[*paper.MACHINE_TYPES]]
    gains = types.loc["proposed"] - types
    winner, serial, fan = "parallel method", "serial method", "fan"
    means = types.mean(axis=1)
    leads = gains.loc[winner]
    interval = ttest_1samp(leads, 0).confidence_interval()
    margin = overall["proposed"] - overall[winner]
    assert decimals(first) == {
        *two(
            overall,
            leads[fan],
            types.drop(columns=fan).rdiv(1).mean(axis=1).rdiv(1)[[winner, "proposed"]],
        ),
        *two(leads.mean(), leads.std(), margin, overall["proposed"] - overall[serial]),
        *two(means["proposed"] - means[serial]),
        *(f"{value:.1f}" for value in (*interval, 100 * margin / overall[winner], 2.1)),
    }  # 2.1 is the abstract's
    (snippet,) = re.findall(r"```python\n(.*?)```", first, re.DOTALL)
    exec(snippet, {})
    best = types.idxmax()
    assert [*best.index[best == "proposed"]] == ["fan", "gearbox", "slider"]
    assert [*best.index[best == winner]] == ["pump", "ToyCar", "ToyTrain"]
    assert types.valve.idxmin() == "proposed"
    ablation = paper.PAPER_TABLE_III.loc["proposed"] - paper.PAPER_TABLE_III
    parts = ablation[[*paper.MACHINE_TYPES]]
    below = paper.PAPER_TABLE_II.loc[serial] - paper.PAPER_TABLE_III.loc["product-only"]
    assert decimals(second) == {
        *two(
            parts.loc["without h"].min(), parts.loc["without h"].max(), ablation[paper.ALL].iloc[1:]
        ),
        *two(-parts.loc["product-only", fan], below[paper.ALL], below.valve),
        *two(overall["proposed"] - overall[serial], parts.loc["no-mixup", ["ToyCar", "pump"]]),
    }
    assert (parts > 0).sum(axis=1)[1:].tolist() == [3, 7, 6]
    assert below.idxmax() == "valve" and (parts.loc["no-mixup"] > 0).sum() == 3
    assert decimals(maps) == {*two(parts.loc["product-only", ["pump", "slider"]])}


def decimals(text: str) -> set[str]:
    return set(re.findall(r"-?\d+\.\d+", text))


def two(*values) -> list[str]:
    """Numbers, and series of them, with two decimals."""
    return [f"{number:.2f}" for value in values for number in np.ravel(value)]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_picture_has_number_caption_and_alternative_text(path):
    text = path.read_text()
    for file, options, caption in re.findall(
        r"```{figure} (\S+)\n---\n(.*?)\n---\n(.*?)```", text, re.DOTALL
    ):
        options = yaml.safe_load(options)
        assert (BOOK / file.lstrip("/")).exists() and caption.strip(), file
        assert f"{{numref}}`{options['name']}`" in text, file
        assert len(options["alt"].split()) > 20, file
    assert text.count("```{figure}") == len(re.findall(r"```{figure} \S+\n---\n", text))


def test_the_input_of_the_encoder_is_that_of_the_profiles():
    """The table of the chapter `log-mel`, and the numbers in its text that follow from it."""
    chapter = (BOOK / "log-mel.md").read_text()
    table = chapter.split(":name: tab-input")[1].split("```")[0]
    rows = [re.findall(r"- (.+)", row) for row in table.split("\n* ")[2:]]
    *fields, (_, _, *sizes) = rows
    for profile, column, size in zip((PAPER, QUICK), (2, 3), sizes, strict=True):
        for row in fields:
            assert getattr(profile, row[0].strip("`")) == float(row[column]), row
        picture = LogMel(profile)(torch.zeros(1, profile.segment_frames))[0]
        assert size == "{} × {}".format(*picture.shape)
    assert f"{PAPER.mel_bins} mel bins by {picture_of(PAPER)} frames" in " ".join(chapter.split())
    filters = LogMel(PAPER).filters
    window, hop = LogMel(PAPER).size, LogMel(PAPER).hop
    assert f"A spectrum has {len(filters):,} frequencies" in chapter
    assert (
        f"With $W$ = {window} samples, neighbouring frequencies are {SAMPLE_RATE / window:.1f}"
        in chapter
    )
    assert 1 - hop / window == 7 / 8
    assert [int((filters[:, m] > 0).sum()) for m in (0, -1)] == [2, 23]


def picture_of(profile) -> int:
    """The frames of a segment."""
    return LogMel(profile)(torch.zeros(1, profile.segment_frames)).shape[2]


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


def test_the_chapter_on_runs_reads_what_a_run_writes(tmp_path, monkeypatch):
    """And the source domain alone is not all that the evaluator of 2021 needs, as it says."""
    chapter = (BOOK / "rerun.md").read_text()
    labels = ["normal", "anomaly"] * 5
    files = [f"section_03_source_test_{label}_{n:04}.wav" for n, label in enumerate(labels)]
    scores = pd.DataFrame(dict(file=files, product="03", domain="source", score=range(10)))
    (written,) = write_submission(scores, "fan", tmp_path)
    monkeypatch.chdir(tmp_path)
    namespace = {}
    section = chapter.split("## Score files for the challenge\n")[1]
    snippet = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    exec(snippet, namespace)
    assert written.name in snippet and "decision_result_" in chapter
    assert namespace["scores"].label.tolist() == labels


@pytest.mark.parametrize("name", [name for name in PAGES if name in {p.stem for p in CHAPTERS}])
def test_a_chapter_opens_with_its_goals_and_ends_with_what_was_learnt(name):
    if name not in ("intro", *REFERENCE):
        text = (BOOK / f"{name}.md").read_text()
        has_head_and_end(text, "chapter")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_opens_with_its_goals_and_ends_with_what_was_found(path):
    text = prose(path)
    has_head_and_end(text, "notebook")
    assert re.search(r"minutes\. \*\*Running time:\*\* \S.*\. \*\*Builds on:\*\* \{doc\}", text)


def has_head_and_end(text: str, kind: str) -> None:
    head = text.split("\n## ")[0]
    assert f"In this {kind} you will" in " ".join(head.split())
    assert f"```{{admonition}} After this {kind} you can\n:class: goals\n- " in head
    titles = re.findall("^## (.+)", text, re.MULTILINE)
    assert {*titles[titles.index("Main take-aways") + 1 :]} <= {"Questions", "Exercises"}
    (minutes,) = re.findall(r"\*\*Reading time:\*\* (\d+) minutes", head)
    apart = r"```\{(?:admonition\} After|exercise|solution|quiz).*?\n```\n|````.*?\n````\n"
    read = len(re.sub(apart, "", text, flags=re.DOTALL).split()) / 150
    assert minutes in [str(5 * math.ceil(time / 5)) for time in (read - 1, read, read + 1)]


def test_the_reference_names_every_module_of_the_method():
    named = re.findall(r"automodule:: asdlib\.(\w+)", (BOOK / "api.md").read_text())
    modules = {path.stem for path in (ROOT / "asdlib").glob("*.py")} - {"__init__"}
    assert sorted(named) == sorted(modules)


def test_every_exercise_has_its_folded_solution():
    exercises = re.findall(r"\{exercise\} .*\n:label: (\S+)", TEXT)
    solutions = re.findall(r"\{solution\} (\S+)\n:class: dropdown", TEXT)
    assert exercises == solutions and len(set(exercises)) == 19


# exercises
COMPUTED = ("product", "machine", "pauc", "hmean", "frames", "mel", "upper-half", "one-type")


@pytest.mark.parametrize("label", [f"ex-{name}" for name in COMPUTED])
def test_code_in_solutions_gives_the_numbers_in_their_text(label):
    solution = re.search(rf"````\{{solution\}} {label}\n(.*?)\n````", TEXT, re.DOTALL)[1]
    prose, code = re.match(r"(.*)```python\n(.*?)```", solution, re.DOTALL).groups()
    namespace, shown = {}, []
    for line in ast.parse(code).body:
        if isinstance(line, ast.Expr):
            shown.append(eval(ast.unparse(line), namespace))
        else:
            exec(ast.unparse(line), namespace)
    numbers = [number for value in shown for number in np.ravel(value)]
    assert numbers and all(f"{number:.3g}" in prose for number in numbers)
