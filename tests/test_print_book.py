"""The book on paper: which pages are in it, and what of a page."""

from bs4 import BeautifulSoup

import asdlib
from workflow import print_book

PAGE = """<html><body><article class="bd-article"><section><h1 id="top">{name}</h1>
<a href="commands.html#asd">a command</a> <a href="next.html#top">the next page</a>
<details class="hide above-input">import</details><details class="solution">2</details>
<section><h2>Chart</h2><p>Hover over a point.</p><div class="cell"><figure><div
class="plotly-graph-div"></div><figcaption>Fig. 1</figcaption></figure></div></section>
<p>Next, <a href="next.html">the next page</a> says more.</p>
</section></article></body></html>"""


def test_what_only_the_screen_needs_is_not_on_paper():
    names = ["index", "machines/fan", "results", "commands", "gallery", "machines/pump", "api"]
    assert print_book.on_paper(names) == ["index", "machines/fan", "results"]


def test_pages_are_joined_without_their_folded_code_and_with_links_among_them(tmp_path):
    for name in ("index", "next"):
        (tmp_path / f"{name}.html").write_text(PAGE.format(name=name))
    page = BeautifulSoup(print_book.joined(tmp_path, ["index", "next"]), "html.parser")
    assert [title.text for title in page.select("h1")] == ["index", "next"]
    assert page.h1.find_next("p").text == print_book.NOTE and str(page).count(print_book.NOTE) == 1
    assert [link["href"] for link in page.select("a")] == ["#next--top"] * 2
    assert page.text.count("a command") == 2 and "import" not in page.text
    assert len(page.select("details")) == len(page.select("details.solution")) == 2
    assert not any(word in page.text for word in ("Chart", "Hover", "Fig. 1", "says more"))


def test_the_first_page_lists_the_chapters_that_are_printed(tmp_path):
    for name in ("index", "next"):
        (tmp_path / f"{name}.html").write_text(PAGE.format(name=name))
    parts = [{"caption": "A & B", "chapters": [{"file": "next"}, {"file": "commands"}]}]
    toc = {"root": "index", "parts": parts}
    page = BeautifulSoup(print_book.joined(tmp_path, ["index", "next"], toc), "html.parser")
    (contents,) = page.select("nav.chapters")
    assert contents.p.text == "A & B"
    assert [link["href"] for link in contents.select("a")] == ["#next"]
    assert page.select_one("section#next") and asdlib.__version__ in page.text
