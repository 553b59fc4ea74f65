"""The lecture decks: built from the chapters, they work without the internet and fit the screen."""

import shutil
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def decks(tmp_path_factory):
    out = tmp_path_factory.mktemp("slides")
    build = [sys.executable, "-m", "sphinx", "-W", "-q", "-E", "-b", "revealjs", "-c"]
    done = subprocess.run([*build, "book/slides", "book", out], cwd=ROOT, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return sorted((out / "slides").glob("?-*.html"))


def test_make_slides_builds_what_is_tested_here():
    command = "-m sphinx -W -q -E -b revealjs -c book/slides book _build/slides"
    assert command in (ROOT / "Makefile").read_text()


def test_every_slide_fits_the_screen_and_asks_nothing_of_other_sites(decks):
    chromium = shutil.which("chromium") or pytest.skip("no chromium on this computer")
    from playwright.sync_api import sync_playwright

    assert len(decks) == 3
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        for deck in decks:
            page = browser.new_page(viewport={"width": 1100, "height": 700})
            wrong = []
            page.on("request", lambda r, to=wrong: r.url.startswith("http") and to.append(r.url))
            page.on("requestfailed", lambda r, to=wrong: to.append(r.url[:200]))
            page.on("pageerror", lambda error, to=wrong: to.append(str(error)))
            page.goto(f"file://{deck}", wait_until="load")
            drawn = " && document.querySelector('mjx-container')" * bool(
                page.query_selector(".math")
            )
            page.wait_for_function("Reveal.isReady()" + drawn)
            for _ in range(page.evaluate("Reveal.getTotalSlides()")):
                title, width, height = page.evaluate(
                    "(slide => [slide.innerText.split('\\n')[0], slide.scrollWidth,"
                    " slide.scrollHeight])(Reveal.getCurrentSlide())"
                )
                assert width <= 1100 and height <= 700, (deck.stem, title)
                page.evaluate("Reveal.next()")
            lengths = page.evaluate(
                "Promise.all([...document.querySelectorAll('audio')].map(audio => audio.duration ||"
                " new Promise(done => audio.onloadedmetadata = () => done(audio.duration))))"
            )
            assert all(seconds > 1 for seconds in lengths)
            assert (len(lengths) > 0) == deck.stem.startswith("1") and wrong == []
        browser.close()
