"""The book on paper: which pages are in it, and what of a page."""

from bs4 import BeautifulSoup

from workflow import print_book

PAGE = """<html><body><article class="bd-article"><section><h1 id="top">{name}</h1>
<a href="commands.html#asd">a command</a> <a href="next.html#top">the next page</a>
<details class="hide above-input">import</details><details class="solution">2</details>
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
