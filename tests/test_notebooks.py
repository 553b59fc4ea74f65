"""The notebooks' sources: no outputs, a parameters cell that documents itself, no machinery."""

import ast
import json
import re
import shlex

import papermill.cli
import pytest
from click.testing import CliRunner
from conftest import ROOT

from asdstudy import paths
from asdstudy.report.captions import page_provenance, papermill_command, provenance_line

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LINE = re.compile(r"^[a-z_]+: (str|int|float|bool|list|dict) = .+  # \S.*$")


def source(cell: dict) -> str:
    return "".join(cell["source"])


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
            code = "\n".join(
                line for line in source(cell).splitlines() if not line.startswith(("%", "!"))
            )
            assert not [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.ClassDef)]


def parameters_of(command: str, monkeypatch) -> dict:
    """What papermill's own command line hands to the notebook."""
    given = {}
    monkeypatch.setattr(papermill.cli, "execute_notebook", lambda **known: given.update(known))
    done = CliRunner().invoke(papermill.cli.papermill, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert (ROOT / given["input_path"]).exists()
    return given["parameters"]


def test_the_command_on_a_page_gives_its_parameters_again(monkeypatch):
    overrides = {
        "inlier_sizes": [1, 2], "learning_rates": [1e-6, 0.5], "learning_rate": 1e-6, "epochs": 3,
        "log_mel": False, "none": None, "id": "00", "word": "True", "text": "it's 2 words",
        "nested": {"rows": "all", "pair": [1, "x y"]}, "empty": [], "number": "1e5",
    }  # fmt: skip
    record = {
        "corpus": "mine", "machine_type": "fan", "variant": "no-mixup", "profile_name": "quick",
        "seed": 3, "overrides": overrides, "fingerprint": "f", "commit": "c", "device": "cpu",
        "threads": 1, "wall_seconds": 1.5, "finished": "today", "versions": {"torch": "2"},
    }  # fmt: skip
    line = provenance_line(record, data_dir="data/mine", out_dir="").data
    found = parameters_of(line.split("```")[1].strip(), monkeypatch)
    names = {"corpus": "mine", "machine_type": "fan", "variant": "no-mixup", "profile": "quick"}
    expected = names | {"seed": 3, "data_dir": "data/mine"} | overrides
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()
    }


def test_a_page_tells_no_path_of_the_computer_that_made_it(tmp_path, monkeypatch):
    root = tmp_path / "here" / "project"
    monkeypatch.setattr(paths, "project_root", lambda: root)
    for place, told in [
        (root / "data/mine", "data/mine"),
        (root.parent / "shared/real-mini", "../shared/real-mini"),
        (tmp_path / "elsewhere/my sounds", "path/to/my sounds"),
    ]:
        command = papermill_command("sounds", {"data_dir": place})
        assert parameters_of(command, monkeypatch) == {"data_dir": told}
        assert str(tmp_path) not in command


def test_a_page_without_a_run_says_where_it_comes_from(monkeypatch):
    own = {"corpus": "simulated", "data_dir": "", "profile": "quick", "seed": 2}
    line = page_provenance("sounds", own, "f1").data
    assert "simulated sound, quick profile, seed 2; corpus fingerprint `f1`; commit" in line
    assert "torch" in line and "s of wall time" in line
    del own["data_dir"]
    assert parameters_of(line.split("```")[1].strip(), monkeypatch) == own
    assert "**Provenance.** needs no corpus" in page_provenance("hypersphere", {"seed": 0}).data
