"""The directive `quiz`: what it makes of a question, and what it refuses."""

import re

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


def build(folder, text: str) -> str:
    """The page of ``text``, built by Sphinx with warnings as errors."""
    (folder / "conf.py").write_text('extensions = ["myst_parser", "workflow.book_site"]\n'
                                    'myst_enable_extensions = ["dollarmath"]\n')  # fmt: skip
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
