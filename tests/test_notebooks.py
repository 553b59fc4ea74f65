"""The notebooks' sources: no outputs, a parameters cell that documents itself, no machinery."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from conftest import ROOT, write_corpus

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINE = re.compile(r"^[a-z_]+: (str|int|float|bool|list|dict) = .+  # \S.*$")


def source(cell: dict) -> str:
    return "".join(cell["source"])


def python(cell: dict) -> str:
    """The code of a cell without IPython's own commands."""
    return re.sub(r"^( *)[%!].*", r"\1pass", source(cell), flags=re.MULTILINE)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> dict:
    return json.loads(request.param.read_text())


def test_no_outputs(notebook):
    for cell in notebook["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None


def test_parameters_are_typed_and_commented_literals(notebook):
    tagged = [c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1
    assert tagged[0] is next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    for statement in ast.parse(source(tagged[0])).body:
        assert isinstance(statement, ast.AnnAssign), ast.unparse(statement)
        value = ast.literal_eval(statement.value)
        assert type(value).__name__ == statement.annotation.id
    lines = [line for line in source(tagged[0]).splitlines() if re.match("[a-z]", line)]
    assert all(LINE.match(line) or line.endswith("(") for line in lines), lines


def test_tells_a_story_and_defines_no_class(notebook):
    first, last = notebook["cells"][0], notebook["cells"][-1]
    assert first["cell_type"] == last["cell_type"] == "markdown"
    assert re.search("^# ", source(first), re.MULTILINE)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not [n for n in ast.walk(ast.parse(python(cell))) if isinstance(n, ast.ClassDef)]


def test_what_colab_fetches_is_the_repository_of_the_book(notebook):
    """And the cell is the second, so that nothing is imported before it."""
    _, install, *_ = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    assert re.findall(r"https://\S+", source(install)) == [config["repository"]["url"]]
    assert install["id"] == "install" and install["metadata"]["tags"] == ["remove-input"]


PAGES_OVER_RUNS = (
    "results",
    "ablation",
    "embedding",
    "similarity",
    "switches",
    "rivals",
    "recordings",
    "findings",
    "ways",
    "sides",
    "pretrained",
    "expect",
)


@pytest.mark.parametrize("name", PAGES_OVER_RUNS)
def test_a_page_over_runs_defines_no_function(name):
    cells = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    for cell in cells:
        if cell["cell_type"] == "code":
            nodes = ast.walk(ast.parse(python(cell)))
            assert not [node for node in nodes if isinstance(node, ast.FunctionDef)], cell["id"]


@pytest.mark.slow
def test_notebooks_run_where_only_the_packages_are_installed(tmp_path):
    """As after an installation from a wheel: no checkout, and an empty folder to work in."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]
    assert {*packages} == {".".join(path.parent.relative_to(ROOT).parts)
                           for name in ("asdlib", "asdstudy")
                           for path in (ROOT / name).rglob("__init__.py")}  # fmt: skip
    for name in ("asdlib", "asdstudy"):
        shutil.copytree(ROOT / name, tmp_path / "site" / name)
    work = tmp_path / "work"
    write_corpus(work / "data/noise")
    few = {"corpus": "noise", "machine_type": "pump", "epochs": 1, "batch_size": 8,
           "inlier_sizes": [1]}  # fmt: skip
    execute("train", few, tmp_path / "site", work)
    (page,) = work.glob("train.out.ipynb")
    assert "To reproduce this page" in page.read_text()
    assert list(work.glob("runs/noise/pump/proposed-s0-*/metrics.csv"))
    with pytest.raises(AssertionError, match="no table of dials; expected those of"):
        execute("similarity", {}, tmp_path / "site", work)


def execute(name: str, parameters: dict, site, work) -> None:
    """Run a notebook by papermill in the folder ``work``, with the packages of ``site``."""
    words = [
        ROOT / f"notebooks/{name}.ipynb",
        f"{name}.out.ipynb",
        "-y",
        yaml.safe_dump(parameters),
        *("--start-timeout", "300"),  # of a kernel on a busy computer
    ]
    environment = {n: v for n, v in os.environ.items() if n != "ASDLIB_ROOT"}
    done = subprocess.run(
        [sys.executable, "-m", "papermill", *words], cwd=work, capture_output=True, text=True,
        env=environment | {"PYTHONPATH": str(site)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
