"""Print the built book as one PDF, by headless Chromium: `make pdf`."""

import argparse
import re
import shutil
import sys
from datetime import date
from html import escape
from pathlib import Path
from urllib.parse import unquote, urldefrag

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright

import asdlib
from workflow.assemble import MACHINES, pages_of

FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center">'
    '<span class="pageNumber"></span></div>'
)


SCREEN_ONLY = ("commands", "gallery", "api")  # pages that nobody reads on paper
# of a page: the code that it folds away, what only sounds, and the charts to hover over
FOLDED = "details.hide, .player, .cell:has(.plotly-graph-div)"
ONLY_FOR_SCREEN = re.compile(r"Next[,:] |.*\bHover over", re.DOTALL)  # paragraphs
NOTE = (
    "On paper, this book leaves out the commands, the API reference, the machine types after the "
    "first, the players, the charts to hover over and the code that its pages fold away. So some "
    "numbers of figures are missing. Below each question, the right answer is explained."
)


def on_paper(names: list[str]) -> list[str]:
    """The pages to print: only the first machine type, and no page for the screen."""
    machines = [name for name in names if name.startswith(MACHINES)]
    return [name for name in names if name not in (*SCREEN_ONLY, *machines[1:])]


def contents_of(toc: dict, titles: dict[str, str]) -> str:
    """The parts of the book as HTML, with a link to each page that has a title."""
    html = []
    for part in toc["parts"]:
        _, *names = pages_of(toc | {"parts": [part]})
        printed = [name for name in names if name in titles]
        links = [f'<li><a href="#{name}">{escape(titles[name])}</a></li>' for name in printed]
        html.append(f"<p>{escape(part['caption'])}</p><ul>{''.join(links)}</ul>")
    return f'<nav class="chapters">{"".join(html)}</nav>'


def joined(site: Path, names: list[str], toc: dict | None = None) -> str:
    """Some pages of ``site`` in one: one article after the other, in the frame of the first.

    A table of contents gives the first page a list of the chapters, beside authors and date.
    """
    frame = BeautifulSoup((site / f"{names[0]}.html").read_text(), "html.parser")
    place = frame.select_one("article.bd-article")
    place.clear()
    for contents in frame.select("#jb-print-docs-body"):  # of the first page only
        contents.decompose()
    titles = {}
    for name in names:
        page = BeautifulSoup((site / f"{name}.html").read_text(), "html.parser")
        article = page.select_one("article.bd-article")
        for part in article.select(FOLDED):
            part.decompose()
        for paragraph in article.select("section > p"):
            if ONLY_FOR_SCREEN.match(paragraph.text.strip()):
                paragraph.decompose()
        for section in article.select("section"):
            if [child.name for child in section.find_all(recursive=False)] in (["h2"], ["h3"]):
                section.decompose()  # all that it had
        titles[name] = article.h1.text.rstrip("#")
        moved(article, name, names)
        article.name, article["id"] = "section", name
        place.append(article)
    note = f"<p><em>{NOTE}</em></p>"
    if toc:
        made = f"{date.today():%-d %B %Y}"
        note = (
            f"<p>The asdlib authors. Version {asdlib.__version__}, printed on {made}.</p>{note}"
            f"{contents_of(toc, titles)}"
        )
    place.h1.insert_after(BeautifulSoup(note, "html.parser"))
    return str(frame)


def moved(article: Tag, name: str, names: list[str]) -> None:
    """Make what an article refers to right for the joined page, where names must not clash."""
    folder = Path(name).parent
    for tag in article.select("[id]"):
        tag["id"] = f"{name}--{tag['id']}"
    for tag in article.select("[src]"):
        if not tag["src"].startswith(("data:", "http")):
            tag["src"] = Path(*folder.parts, tag["src"]).as_posix()
    for tag in article.select("a[href]"):
        if "://" not in tag["href"] and not tag["href"].startswith("mailto:"):
            path, anchor = urldefrag(tag["href"])
            there = (Path("/") / folder / unquote(path)).resolve().relative_to("/").as_posix()
            target = there.removesuffix(".html") if path else name
            if target in names:
                tag["href"] = f"#{target}--{anchor}" if anchor else f"#{target}"
            else:
                tag.unwrap()


def print_page(page: Path, out: Path) -> None:
    """Print a page once its formulas and plots are drawn, with an outline and page numbers."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if not chromium:
        sys.exit("no Chromium on this computer; expected the command chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        tab = browser.new_page(viewport={"width": 900, "height": 1200})
        tab.goto(page.absolute().as_uri(), wait_until="load", timeout=120_000)
        tab.wait_for_function("window.MathJax?.startup?.promise", timeout=120_000)
        tab.evaluate("MathJax.startup.promise")
        tab.pdf(
            path=out, format="A4", scale=0.88, outline=True, tagged=True, print_background=True,
            display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
            margin={"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"},
        )  # fmt: skip
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, default=Path("_build/html"))
    parser.add_argument("--toc", type=Path, default=Path("_build/source/_toc.yml"))
    parser.add_argument("--out", type=Path, default=Path("_build/book.pdf"))
    options = parser.parse_args()
    if not (options.site / "index.html").exists():
        sys.exit(f"{options.site}: no book; expected one, made by `make book`")
    page = options.site / "_print.html"  # beside the pages, for what they load
    toc = yaml.safe_load(options.toc.read_text())
    page.write_text(joined(options.site, on_paper(pages_of(toc)), toc))
    try:
        print_page(page, options.out)
    finally:
        page.unlink()


if __name__ == "__main__":
    main()
