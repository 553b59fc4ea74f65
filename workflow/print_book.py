"""Print the built book as one PDF, by headless Chromium: `make pdf`."""

import argparse
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright

from workflow.assemble import MACHINES, pages_of

FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center">'
    '<span class="pageNumber"></span></div>'
)


SCREEN_ONLY = ("commands", "gallery", "api")  # pages that nobody reads on paper
FOLDED = "details.hide, .player"  # of a page: the code that it folds away, and what only sounds
NOTE = (
    "On paper, this book leaves out the commands, the API reference, the machine types after the "
    "first, the players and the code that its pages fold away."
)


def on_paper(names: list[str]) -> list[str]:
    """The pages to print: of the machine types the first only, and no page for the screen."""
    machines = [name for name in names if name.startswith(MACHINES)]
    return [name for name in names if name not in (*SCREEN_ONLY, *machines[1:])]


def joined(site: Path, names: list[str]) -> str:
    """Some pages of ``site`` in one: one article after the other, in the frame of the first."""
    frame = BeautifulSoup((site / f"{names[0]}.html").read_text(), "html.parser")
    place = frame.select_one("article.bd-article")
    place.clear()
    for contents in frame.select("#jb-print-docs-body"):  # of the first page only
        contents.decompose()
    for name in names:
        page = BeautifulSoup((site / f"{name}.html").read_text(), "html.parser")
        article = page.select_one("article.bd-article")
        for part in article.select(FOLDED):
            part.decompose()
        moved(article, name, names)
        article.name, article["id"] = "section", name
        place.append(article)
    place.h1.insert_after(BeautifulSoup(f"<p><em>{NOTE}</em></p>", "html.parser"))
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
    names = on_paper(pages_of(yaml.safe_load(options.toc.read_text())))
    page.write_text(joined(options.site, names))
    try:
        print_page(page, options.out)
    finally:
        page.unlink()


if __name__ == "__main__":
    main()
