"""The whole study on a small scale up to the built book, and the book in a browser."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

import nbformat
import pytest
import yaml
from conftest import ROOT

from asdlib.errors import InputError
from asdstudy.runs.study import read_study
from workflow.assemble import assemble, pages_of
from workflow.print_book import on_paper

STUDY = "tests/small-study.yaml"
TELEPHONE = {"width": 390, "height": 844}
CORES = str(min(2, os.cpu_count() or 1))

pytestmark = pytest.mark.slow


def snakemake(folder: Path, *words: str, timeout: float = 600) -> subprocess.CompletedProcess:
    """Run the Snakefile on the small study; results land in ``folder``."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--cores", CORES]
        + ["--directory", folder, "--keep-going", *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
    )


def study(folder: Path, *words: str) -> subprocess.CompletedProcess:
    return snakemake(folder, *words, "--config", f"study={STUDY}")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The folder of the small study, with its book."""
    given = os.environ.get("ASDLIB_TEST_STUDY")  # one that is there already, to save its minutes
    folder = Path(given) if given else tmp_path_factory.mktemp("study")
    done = study(folder)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-8000:]
    return folder


def jobs(done: subprocess.CompletedProcess) -> set[str]:
    """The rules, and the pages, that a dry run would run."""
    lines = (done.stdout + done.stderr).splitlines()
    rules = {line.split()[0] for line in lines if len(line.split()) == 2 and line[0].isalpha()}
    pages = (line.partition("wildcards: page=") for line in lines)
    return rules | {name for _, is_page, name in pages if is_page}


def test_book_is_built_and_a_second_run_does_nothing(built):
    assert (built / "_build/html/index.html").exists()
    again = study(built)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_only_what_depends_on_a_changed_parameter_runs_again(built, tmp_path):
    changed = yaml.safe_load((ROOT / STUDY).read_text())
    changed["overrides"]["fan"] = changed["overrides"]["fan"] | {"epochs": 4}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(changed))
    done = snakemake(built, "-n", "--config", f"study={tmp_path / 'study.yaml'}")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    again = [line for line in said.splitlines() if "wildcards: machine_type=" in line]
    assert len(again) == 4 * len(changed["variants"])  # all four stages
    assert all("machine_type=fan" in line for line in again)
    assert {"results", "ablation", "machines/fan", "source", "book"} <= jobs(done)
    # the maps show slider alone
    others = {"corpus", "hypersphere", "sounds", "similarity", "embedding", "machines/slider"}
    assert not others & jobs(done)


def test_every_executed_page_says_where_it_comes_from_and_how_to_make_it(built):
    pages = sorted((built / "_build/source").rglob("*.ipynb"))
    notebooks = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.stem for path in pages} == notebooks - {"train"} | {"fan", "slider"}
    for path in pages:
        cells = json.loads(path.read_text())["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        # what is written to stderr is on no page: _config.yml
        text = json.dumps([output for output in outputs if output.get("name") != "stderr"])
        assert "**Provenance.**" in text and "papermill notebooks/" in text, path.name
        assert str(built) not in text and str(ROOT) not in text, path.name


def test_more_seeds_from_the_command_line_are_more_runs(built):
    done = snakemake(built, "-n", "--config", f"study={STUDY}", "seeds=[0,1,2]")
    assert done.returncode == 0, done.stderr
    new = [line for line in done.stdout.splitlines() if "wildcards: machine_type=" in line]
    # stages, machine types, variants, and the two seeds that are not there
    assert len(new) == 4 * 2 * 2 * 2
    assert not any("seed=0" in line for line in new)


def test_a_failed_run_is_named_and_stops_only_its_dependants(built, tmp_path):
    """Its own folder: the corpus is there, and the run of one machine type cannot be scored."""
    changed = yaml.safe_load((ROOT / STUDY).read_text())
    changed["overrides"]["fan"] = {"epochs": 1, "batch_size": 16, "inlier_size": 5000}
    changed["overrides"]["slider"] = {"epochs": 1, "batch_size": 16, "inlier_sizes": [1]}
    changed["variants"] = ["proposed"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(changed))
    shutil.copytree(built / "data", tmp_path / "data")
    done = snakemake(
        tmp_path, "_build/pages/results.ipynb", "--rerun-triggers", "mtime",
        "--config", f"study={tmp_path / 'study.yaml'}",
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "wildcards: machine_type=fan, variant=proposed, seed=0" in said
    assert said.count("error: data/small/fan: product ID 00: ") == 2  # at once, and at the end
    assert list(tmp_path.glob("runs/simulated/slider/proposed-s0-*/metrics.csv"))
    assert not (tmp_path / "_build/pages/results.ipynb").exists()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"machine_type": ["fan"]}, "machine_types"),
        ({"profile": "fast"}, "quick"),
        ({"overrides": {"fan": {"epoch": 3}}}, "epochs"),
        ({"overrides": {"pump": {}}}, "slider"),
        ({"seeds": ["one"]}, "seed is 'one'; expected a whole number"),
        ({"seeds": "[0, one]"}, "seed is 'one'; expected a whole number"),
        ({"variants": ["no-mix"]}, "no-mixup"),
        ({"variants": ["no-mixup"]}, "expected proposed among them"),
    ],
)
def test_wrong_study_is_refused_with_the_known(tmp_path, changes, named):
    with pytest.raises(InputError, match=named):
        study_in(STUDY, changes)


def study_in(name: str, changes=None):
    """The study of a file of the project, by its name."""
    return read_study(ROOT / name, changes or {})


@pytest.mark.parametrize("name", ["study.yaml", "dcase2021.yaml"])
def test_the_studies_that_come_with_the_project_are_valid(name):
    read = study_in(name)
    assert len(read.machine_types) == 7 and {"proposed", "no-mixup", "product-only"} <= {
        *read.variants
    }


def test_an_own_machine_type_has_its_page_in_the_book(built, tmp_path):
    """The page is there, and the table of contents of the built book names it."""
    title, name = "drill [50%] *x* {a}", "drill =5b=50=25=5d= =2a=x=2a= =7b=a=7d="
    page = nbformat.read(built / "_build/pages/machines/fan.ipynb", as_version=4)
    page.metadata["papermill"]["parameters"]["machine_type"] = title
    nbformat.write(page, tmp_path / f"{name}.ipynb")
    (tmp_path / "book/_static").mkdir(parents=True)
    shutil.copyfile(ROOT / "book/_static/logo.svg", tmp_path / "book/_static/logo.svg")
    shutil.copyfile(ROOT / "book/references.bib", tmp_path / "book/references.bib")
    (tmp_path / "book/intro.md").write_text("# All\n\nSee {doc}`machines/pump`.\n")
    gallery = {"file": "gallery", "sections": [{"file": "machines/pump"}]}
    chapters = [{"file": "machines/fan"}, gallery]
    (tmp_path / "book/gallery.md").write_text("# Gallery\n")
    toc = {"format": "jb-book", "root": "intro", "parts": [{"caption": "A", "chapters": chapters}]}
    (tmp_path / "toc.yml").write_text(yaml.safe_dump(toc))
    pages = [tmp_path / f"{name}.ipynb"]
    assemble(tmp_path / "book", tmp_path / "toc.yml", [], pages, tmp_path / "out")
    shutil.copyfile(ROOT / "_config.yml", tmp_path / "out/_config.yml")
    done = subprocess.run(
        [Path(sys.executable).with_name("jupyter-book"), "build", tmp_path / "out"],
        cwd=ROOT, capture_output=True, text=True,
        env=os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    index = (tmp_path / "out/_build/html/intro.html").read_text()
    assert f"{title}: one run on simulated sound" in index and "See pump." in index
    assert (tmp_path / f"out/_build/html/machines/{name}.html").exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and keeps silent."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(built):
    """The address of the built book, served from this computer."""
    folder = built / "_build/html"
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; skips, saying so, where there is none."""
    found = next((path for path in map(shutil.which, ("chromium", "chromium-browser")) if path), "")
    if not found:
        pytest.skip("no chromium on this computer: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


def toc_pages(folder: Path) -> list[str]:
    """All pages of the table of contents, in its order."""
    return pages_of(yaml.safe_load((folder / "_build/source/_toc.yml").read_text()))


def settled(page, address: str) -> None:
    """Open a page and wait for its plots and tables."""
    page.goto(address, wait_until="load")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.plotly-graph-div')]"
        ".every(plot => plot.querySelector('.main-svg'))"
    )
    page.wait_for_timeout(300)


UNNUMBERED = """() => {  // figures, charts and tables of a page without number or caption
  const captions = [
    ["article :is(img, .plotly-graph-div)", e => e.closest("figure")?.querySelector("figcaption")],
    ["article table:not(.dt-container *)", e => e.querySelector("caption")],
    ["article .dt-container", e => e.querySelector("caption")],
  ]
  const isWhole = caption =>
    /^(Fig\\.|Table)\\s\\d+\\s\\S/.test(caption?.innerText)
    && caption.querySelector(".caption-number")
  return captions.flatMap(([what, captionOf]) =>
    [...document.querySelectorAll(what)].filter(e => e.checkVisibility() && !isWhole(captionOf(e)))
      .map(e => e.alt ?? captionOf(e)?.innerText ?? e.innerText.slice(0, 80)))
}"""


@pytest.fixture(scope="module")
def visited(built, site, browser) -> dict[str, dict]:
    """Every page, opened once wide and once on a telephone: what went wrong, and its links."""
    shots = Path(os.environ.get("ASDLIB_SCREENSHOTS", built / "_build/screenshots"))
    shots.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in toc_pages(built):
        wrong, outside = [], []
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error, to=wrong: to.append(str(error)))
        page.on("console", lambda said, to=wrong: said.type == "error" and to.append(said.text))
        page.on(
            "request",
            lambda asked, to=outside: (
                asked.url.startswith(("http:", "https:"))
                and not asked.url.startswith(site)
                and to.append(asked.url)
            ),
        )
        settled(page, f"{site}{name}.html")
        links = page.eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
        images = page.eval_on_selector_all(
            "article img",
            "all => all.filter(i => !i.complete || !i.naturalWidth).map(i => i.src)",
        )
        # without one Sphinx takes the name of the file
        untold = page.eval_on_selector_all(
            "article :is(figure, .cell_output) img",
            "all => all.map(i => i.alt).filter(alt => alt.split(' ').length < 8)",
        )
        unnumbered = page.evaluate(UNNUMBERED)
        cut = page.eval_on_selector_all(
            "article :is(div.highlight pre, .cell_output .output:has(table))",
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)",
        )
        search = page.locator("button.search-button, .search-button-field").filter(visible=True)
        boxes = search.count() - 1
        stem = name.replace("/", "-")
        page.screenshot(path=shots / f"{stem}.png", full_page=True)
        page.emulate_media(color_scheme="dark")
        page.evaluate("document.documentElement.dataset.theme = 'dark'")
        page.screenshot(path=shots / f"{stem}-dark.png")
        page.set_viewport_size(TELEPHONE)
        page.reload(wait_until="load")
        settled(page, f"{site}{name}.html")
        width = page.evaluate("document.scrollingElement.scrollWidth")
        page.evaluate("window.MathJax?.startup?.promise")
        formulas = page.eval_on_selector_all(
            "article div.math:not(details *) > mjx-container",
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)",
        )
        captions = page.eval_on_selector_all(
            "article table caption",
            "all => all.filter(e => e.getBoundingClientRect().right > innerWidth)"
            ".map(e => e.innerText)",
        )
        page.screenshot(path=shots / f"{stem}-390.png", full_page=True)
        identifiers = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
        found[name] = {
            "wrong": wrong,
            "outside": outside,
            "links": links,
            "images": images,
            "untold": untold,
            "unnumbered": unnumbered,
            "width": width,
            "cut": cut,
            "boxes": boxes,
            "formulas": formulas,
            "captions": captions,
            "ids": set(identifiers),
        }
        page.close()
    return found


def of_each(visited: dict, key: str) -> dict:
    return {name: facts[key] for name, facts in visited.items() if facts[key]}


def test_no_console_error_and_no_request_leaves_the_site(visited):
    assert of_each(visited, "wrong") == {}
    assert of_each(visited, "outside") == {}


def test_no_missing_image(visited):
    assert of_each(visited, "images") == {}


def test_every_figure_has_an_alternative_text(visited):
    assert of_each(visited, "untold") == {}


def test_every_figure_and_table_has_a_number_and_a_caption(visited):
    assert of_each(visited, "unnumbered") == {}


def test_no_broken_internal_link(visited, built, site):
    folder = built / "_build/html"
    broken = []
    for name, facts in visited.items():
        for link in facts["links"]:
            target, anchor = urldefrag(urljoin(f"{site}{name}.html", link))
            if not target.startswith(site):
                continue
            path = unquote(urlparse(target).path).lstrip("/") or "index.html"
            known = visited.get(path.removesuffix(".html"))
            if not (folder / path).exists():
                broken.append((name, link))
            elif anchor and known and unquote(anchor) not in known["ids"]:
                broken.append((name, link))
    assert broken == []


def test_no_line_of_code_and_no_table_is_cut_and_there_is_one_search_box(visited):
    assert of_each(visited, "cut") == {}
    assert of_each(visited, "boxes") == {}


def test_nothing_overflows_on_a_telephone(visited):
    assert of_each(visited, "formulas") == {}
    assert of_each(visited, "captions") == {}
    wide = {n: f["width"] for n, f in visited.items() if f["width"] > TELEPHONE["width"] + 1}
    assert wide == {}


@pytest.fixture
def page(browser):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    yield page
    page.close()


@pytest.mark.parametrize(("name", "number"), [("results", "II"), ("ablation", "III")])
def test_tables_show_numbers(page, site, name, number):
    settled(page, f"{site}{name}.html")
    table = page.locator("table", has=page.locator(f"caption:has-text('Table {number}')")).first
    paper = table.locator("td").all_inner_texts()
    assert "69.42" in paper
    ours = page.locator("table", has=page.locator("caption:has-text('simulated')")).first
    values = [float(cell) for cell in ours.locator("td").all_inner_texts() if cell.strip("−")]
    assert values and all(0 < value <= 100 for value in values)
    assert "simulated" in ours.locator("caption").inner_text()


def test_interactive_table_and_chart_are_drawn(page, site):
    settled(page, f"{site}results.html")
    page.wait_for_selector("div.dt-container td")
    assert page.locator(".plotly-graph-div .main-svg").count()


def test_a_player_plays(page, site):
    page.goto(f"{site}machines/fan.html", wait_until="load")
    player = page.locator("audio").first
    player.evaluate("audio => { audio.muted = true; return audio.play() }")
    page.wait_for_timeout(700)
    assert player.evaluate("audio => audio.currentTime") > 0


def test_search_finds_the_hypersphere(page, site):
    page.goto(f"{site}search.html?q=hypersphere", wait_until="load")
    page.wait_for_selector("#search-results li a")
    links = page.eval_on_selector_all("#search-results li a", "all => all.map(a => a.href)")
    assert any("hypersphere.html" in link for link in links)


def test_a_question_answers_the_choice_that_is_made(page, site):
    settled(page, f"{site}problem.html")
    quiz = page.locator("fieldset.quiz").first
    choices = quiz.locator(".choice")
    assert choices.count() > 1 and quiz.locator(".feedback").filter(visible=True).count() == 0
    for choice in choices.all():
        choice.locator("input").check()
        shown = quiz.locator(".feedback").filter(visible=True)
        assert shown.all_inner_texts() == choice.locator(".feedback").all_inner_texts()


def test_search_finds_the_chapter_that_explains_a_word(page, site):
    page.goto(f"{site}problem.html", wait_until="load")
    page.keyboard.press("Control+k")
    page.keyboard.type("Mixup")
    page.keyboard.press("Enter")
    page.locator("#search-results li a[href*='training.html']").first.wait_for()


def test_the_book_is_printed_as_one_pdf_with_every_chapter_in_its_outline(built, browser, tmp_path):
    out = tmp_path / "book.pdf"
    command = [sys.executable, "-m", "workflow.print_book", "--site", built / "_build/html"]
    command += ["--toc", built / "_build/source/_toc.yml", "--out", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    pdf = out.read_bytes()
    assert pdf.startswith(b"%PDF") and 60 <= len(re.findall(rb"/Type /Page\b", pdf)) <= 200
    assert pdf.count(b"/Title ") > len(on_paper(toc_pages(built)))
