"""Print the book as one PDF, by headless Chromium: `make pdf`, once the book is built."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center">'
    '<span class="pageNumber"></span></div>'
)


def single_page(source: Path, config: Path, folder: Path) -> Path:
    """Build the book's source as one page of HTML, in ``folder``."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", source]
    command += ["--path-output", folder, "--config", config, "--builder", "singlehtml"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "_build/singlehtml/index.html"


def print_page(page: Path, out: Path) -> None:
    """Print a page once its formulas and plots are drawn, with an outline and page numbers."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if not chromium:
        sys.exit(
            "no Chromium on this computer; expected the command chromium: apt install chromium"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        tab = browser.new_page(viewport={"width": 900, "height": 1200})
        tab.goto(page.absolute().as_uri(), wait_until="load", timeout=120_000)
        tab.wait_for_function("window.MathJax?.startup?.promise", timeout=120_000)
        tab.evaluate("MathJax.startup.promise")
        tab.pdf(
            path=out, format="A4", outline=True, tagged=True, print_background=True,
            display_header_footer=True, header_template="<span></span>", footer_template=FOOTER,
            margin={"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"},
        )  # fmt: skip
        browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("_build/book.pdf"))
    parser.add_argument("--source", type=Path, default=Path("_build/source"))
    parser.add_argument("--config", type=Path, default=Path("_config.yml"))
    options = parser.parse_args()
    if not (options.source / "_toc.yml").exists():
        sys.exit(f"{options.source}: no book; expected its source there: make book")
    print_page(single_page(options.source, options.config, options.out.parent / "pdf"), options.out)
