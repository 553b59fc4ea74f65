"""Assemble the book's source from its chapters and the executed notebooks.

Unfinished or foreign pages cannot slip in: what the table of contents names must be there. Its
machine types are those of the study, whichever the file names.
"""

import argparse
import re
import shutil
import string
import sys
from pathlib import Path

import nbformat
import plotly
import yaml

PLOTLY = re.compile(r'<script[^>]*src="https://cdn\.plot\.ly/[^"]*"[^>]*>\s*</script>')
PLOTLY_MODULE = re.compile(r'<script type="module">\s*import "https://cdn\.plot\.ly/.*?</script>')
# a chart is as wide as its column, even if that changes while the page loads
RESIZE = (
    '<script>new ResizeObserver(() => document.querySelectorAll(".js-plotly-plot").forEach('
    "chart => Plotly.Plots.resize(chart))).observe(document.currentScript.parentElement)</script>"
)
MATHJAX = re.compile(
    r'<script[^>]*src="https://cdnjs\.cloudflare\.com/[^"]*mathjax[^"]*"[^>]*>\s*</script>'
    r"(<script[^>]*>if \(window\.MathJax.*?</script>)?",
    re.DOTALL | re.IGNORECASE,
)

# not below _static: jupyter-book loads every script from there on every page
SCRIPTS = "scripts"
MACHINES = "machines/"  # the folder of the machine types' pages


def local_scripts(html: str, depth: int) -> str:
    """An output's scripts from the site itself: a reader may be without the internet."""
    html = MATHJAX.sub("", html)
    script = f'<script src="{"../" * depth}{SCRIPTS}/plotly.min.js"></script>{RESIZE}'
    return PLOTLY.sub(script, html)


def html_of(output) -> str:
    return "".join(output.get("data", {}).get("text/html", ""))


def one_figure_each(cell) -> list:
    """A cell as several, one for each figure with a caption of its own: myst-nb has one per cell.

    These are the outputs of ``show`` in ``figures`` and ``charts`` of ``asdstudy.report``; what
    comes before one stays before it.
    """
    if cell.cell_type != "code":
        return [cell]
    # the first chart of a notebook comes after an output that only loads plotly, as it does itself
    outputs = [output for output in cell.outputs if not PLOTLY_MODULE.search(html_of(output))]
    cell.outputs = []
    cells, is_figure = [cell], False
    for output in outputs:
        about = output.get("metadata", {}).values()  # by MIME type
        words = next((words for words in about if "caption" in words), {})
        if words or is_figure:
            new = nbformat.v4.new_code_cell("# see above", id=f"{cell.id}-{len(cells)}")
            cells.append(new)  # with a source: myst-nb passes over a cell that has none
            cells[-1].metadata["tags"] = ["remove-input"]
        if is_figure := bool(words):
            cells[-1].metadata["mystnb"] = {"figure": {"caption": words["caption"]}}
            if "alt" in words:  # a chart of plotly's has its own words
                cells[-1].metadata["mystnb"]["image"] = {"alt": words["alt"]}
        cells[-1].outputs.append(output)
    return cells


def as_page(notebook: Path, depth: int = 0):
    """An executed notebook as a page: local scripts, and nothing of where it was executed."""
    page = nbformat.read(notebook, as_version=4)
    page.metadata.pop("papermill", None)
    page.cells = [part for cell in page.cells for part in one_figure_each(cell)]
    for cell in page.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.metadata["tags"] = [*tags, "hide-input"]
            cell.metadata["mystnb"] = {"code_prompt_show": "Show the parameters of this build"}
        for output in cell.get("outputs", []):
            if html := html_of(output):
                output.data["text/html"] = local_scripts(html, depth)
    return page


def parameters_of(page) -> dict:
    """What papermill gave the notebook, by name."""
    return page.metadata.get("papermill", {}).get("parameters", {})


def plain(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(f"([{re.escape(string.punctuation)}])", r"\\\1", text)


def machine_page(notebook: Path):
    """The executed `train` as the page of its machine type."""
    parameters = parameters_of(nbformat.read(notebook, as_version=4))
    page = as_page(notebook, depth=1)
    corpus = parameters.get("corpus", "simulated")
    kind = {"simulated": "simulated sound"}.get(corpus, corpus)
    first = next(cell for cell in page.cells if cell.cell_type == "markdown")
    title = "# " + plain(f"{parameters['machine_type']}: one run on {kind}")
    first.source = re.sub(r"\A(\([^)]*\)=\n)?# .*", lambda _: title, first.source)
    return page


def with_machines(toc: dict, names: list[str]) -> tuple[dict, set[str]]:
    """The table of contents with the pages of these machine types, and those that are left out.

    The first type's page is the complete run among the results; the others lie in the gallery.
    """
    first, *rest = [f"{MACHINES}{name}" for name in names]
    before = {page for page in pages_of(toc) if page.startswith(MACHINES)}

    def of_study(chapter: dict) -> dict:
        if chapter["file"].startswith(MACHINES):
            return {"file": first}
        gallery = {"sections": [{"file": page} for page in rest]} if "sections" in chapter else {}
        return {"file": chapter["file"]} | (gallery if rest else {})

    parts = [part | {"chapters": [*map(of_study, part["chapters"])]} for part in toc["parts"]]
    return toc | {"parts": parts}, before - {first, *rest}


def pages_of(toc: dict) -> list[str]:
    """Every file that a table of contents names."""
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    sections = [section for chapter in chapters for section in chapter.get("sections", ())]
    return [toc["root"], *(page["file"] for page in (*chapters, *sections))]


def unlink(text: str, dropped: set[str]) -> str:
    """Links to pages that are left out become plain words: a study may have other machine types."""

    def words_of(match) -> str:
        target = re.search(r"<([^>]*)>$", match[1])
        name = (target[1] if target else match[1]).lstrip("/")
        words = match[1][: target.start()].strip() if target else name.removeprefix(MACHINES)
        return words if name in dropped else match[0]

    return re.sub(r"\{doc\}`([^`]*)`", words_of, text)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def assemble(book: Path, toc: Path, pages: list[Path], machines: list[Path], out: Path) -> None:
    """Write the source of the book to ``out``, its table of contents last."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(book, out, ignore=shutil.ignore_patterns("_build", ".ipynb_checkpoints"))
    scripts = out / "_extra" / SCRIPTS  # _config.yml: html_extra_path
    scripts.mkdir(parents=True)
    shutil.copy(Path(plotly.__file__).parent / "package_data/plotly.min.js", scripts)
    for notebook in pages:
        write(out / notebook.name, nbformat.writes(as_page(notebook)))
    for notebook in machines:
        write(out / MACHINES / notebook.name, nbformat.writes(machine_page(notebook)))
    names = [notebook.stem for notebook in machines]
    contents, dropped = with_machines(yaml.safe_load(toc.read_text()), names)
    strays = [
        name
        for name in pages_of(contents)
        if not any((out / f"{name}{suffix}").exists() for suffix in (".md", ".ipynb"))
    ]
    if strays:
        sys.exit(f"{toc}: no such pages: {', '.join(strays)}; expected them in {book} or notebooks")
    for path in [*out.glob("**/*.md"), *out.glob("**/*.ipynb")] if dropped else []:
        path.write_text(unlink(path.read_text(), dropped))
    write(out / "_toc.yml", yaml.safe_dump(contents, sort_keys=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--book", type=Path, required=True, help="folder of the chapters")
    parser.add_argument("--toc", type=Path, required=True)
    parser.add_argument("--pages", type=Path, nargs="*", default=[], help="executed notebooks")
    parser.add_argument("--machines", type=Path, nargs="*", default=[], help="executed train's")
    parser.add_argument("--out", type=Path, required=True)
    assemble(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
