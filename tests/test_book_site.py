"""The directive `quiz`: what it makes of a question, and what it refuses; the numbers of tables."""

import re

import nbformat
import pandas as pd
import pytest
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.docutils import docutils_namespace

QUESTION = """# A page

```{quiz} What is $1 + 1$?
- [ ] one
  > Too few.
- [x] **two**
  > Right.
```
"""


def build(folder, text: str, settings: str = "") -> str:
    """The page of ``text``, built by Sphinx with warnings as errors."""
    (folder / "conf.py").write_text('extensions = ["myst_parser", "workflow.book_site"]\n'
                                    'myst_enable_extensions = ["dollarmath"]\n'
                                    + settings)  # fmt: skip
    (folder / "index.md").write_text(text)
    with docutils_namespace():
        app = Sphinx(folder, folder, folder / "out", folder / "doctrees", "html",
                     warningiserror=True, status=None, warning=None)  # fmt: skip
        app.build()
    return (folder / "out/index.html").read_text()


def test_a_choice_is_a_radio_button_with_its_feedback_beside_it(tmp_path):
    page = build(tmp_path, QUESTION)
    (quiz,) = re.findall(r'<fieldset class="quiz">.*?</fieldset>', page, re.DOTALL)
    assert re.search(r"<legend>What is <span class=\"math[^>]*>.*</span>\?</legend>", quiz)
    assert re.findall(r'type="radio" name="([^"]+)"', quiz) == ["quiz-0", "quiz-0"]
    assert re.findall(r'class="feedback (\w+)" role="status">(.*?)</div>', quiz) == [
        ("wrong", "Too few."),
        ("right", "Right."),
    ]
    assert "<strong>two</strong></label>" in quiz and "<script" not in quiz


@pytest.mark.parametrize("wrong", [QUESTION.replace("[x]", "[ ]"), QUESTION.replace("[ ]", "[x]")])
def test_a_question_without_exactly_one_right_choice_is_refused(tmp_path, wrong):
    with pytest.raises(SphinxError, match="expected one `- \\[x\\]` among them"):
        build(tmp_path, wrong)


def test_a_negative_number_has_a_minus_sign_and_no_line_ends_within_a_quantity(tmp_path):
    text = "-1.5 [-2,\n3.1], 95 % and 7\n± 0.2 in 2026-11-29, ID-3; `a -1`, $-4$ and -"
    table = "| a |\n|---|\n| -7 |"
    page = build(tmp_path, f"# A page\n\n{text}\n\n{table}\n\n```text\n50 % -6\n```\n")
    assert "<p>−1.5 [−2,_3.1], 95_% and 7_±_0.2 in 2026-11-29, ID-3; " in page.replace("\xa0", "_")
    assert "<p>−7</p>" in page and "50 % -6" in page and "\\(-4\\)" in page
    assert re.search(r'<span class="pre">a</span> <span class="pre">-1</span>', page)


def test_no_line_ends_between_a_name_and_its_number_or_in_a_short_command(tmp_path):
    text = "Eq. 2, Fig.\n3, Table II, ID 03, seed 0, p = 8, 16 kHz; in 3 days; `make book`, `a b c`"
    page = build(tmp_path, f"# A page\n\n{text}\n\n| a |\n|---|\n| - |").replace("\xa0", "_")
    assert "Eq._2, Fig._3, Table_II, ID_03, seed_0, p_=_8, 16_kHz; in 3 days; " in page
    assert '<span class="pre">make</span>_<span class="pre">book</span>' in page
    assert '<span class="pre">a</span> <span class="pre">b</span>' in page and "<p>-</p>" in page


def test_no_line_ends_within_an_option(tmp_path):
    page = build(
        tmp_path, "# A page\n\nSay `asd --dry-run a-b`.\n\n```text\nasd -p x --dry-run\n```\n"
    )
    assert page.count('<span class="option">--dry-run</span>') == 2
    assert '<span class="pre">a-b</span>' in page and '<span class="option">-p</span> x' in page


TABLE = "<table><caption>Clips by ID</caption><tr><td>1</td></tr></table>"
NOTEBOOKS = """
extensions[0] = "myst_nb"
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
nb_execution_mode = "off"
numfig = True
suppress_warnings = ["myst-nb.lexer"]
"""
STYLED = pd.DataFrame(
    {"MIMII": [1], "drone": [2]}, pd.MultiIndex.from_tuples([("GMM", "00")], names=["h", "ID"])
).rename_axis(columns="sound").style.set_caption("By sound")  # fmt: skip
INTERACTIVE = '<table hidden></table><script>{"caption": "Runs by ID"}</script>'


def test_tables_of_cells_are_numbered_among_those_of_the_text(tmp_path):
    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": html, "text/plain": "a table"})
        for html in (TABLE, "<p>no table</p>", INTERACTIVE)
    ]
    written = "# A page\n\n```{list-table} Written\n* - 1\n```"
    cells = [nbformat.v4.new_markdown_cell(written),
             nbformat.v4.new_code_cell("1", outputs=outputs)]  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "page.ipynb")
    index = "# All\n\n```{toctree}\npage\n```\n"
    build(tmp_path, index, NOTEBOOKS)
    page = (tmp_path / "out/page.html").read_text()
    page = page.replace("\xa0", " ")
    assert re.findall(r"<span class=.caption-number.>(.*?) </span>", page) == [
        "Table 1", "Table 2", "Table 3",
    ]  # fmt: skip
    assert "<caption><span class='caption-number'>Table 2 </span>Clips by ID</caption>" in page
    assert """{"caption": "<span class='caption-number'>Table 3 </span>Runs by ID"}""" in page


def test_the_names_of_an_index_have_no_row_of_their_own(tmp_path):
    output = nbformat.v4.new_output("display_data", {"text/html": STYLED.to_html()})
    cells = [nbformat.v4.new_markdown_cell("# A page"),
             nbformat.v4.new_code_cell("1", outputs=[output])]  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "page.ipynb")
    build(tmp_path, "# All\n\n```{toctree}\npage\n```\n", NOTEBOOKS)
    (head,) = re.findall(
        r"<thead>(.*?)</thead>", (tmp_path / "out/page.html").read_text(), re.DOTALL
    )
    (row,) = re.findall(r"<tr>(.*?)</tr>", head, re.DOTALL)
    assert re.findall(r"<th[^>]*>(.*?)</th>", row) == ["h", "ID", "MIMII", "drone"]
