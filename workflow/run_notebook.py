"""Run one notebook through papermill; say which notebook and cell failed, and keep the evidence.

    python workflow/run_notebook.py notebooks/train.ipynb runs/out.ipynb --log log.ipynb \
        --parameters '{"machine_type": "fan"}'

The notebook is executed into the log file, which stays whatever happens; it is copied to the output
when all cells have run. A notebook that fails leaves a `.failed` file of one line beside the log.
"""

import argparse
import json
import logging
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import nbformat
import papermill
import zmq
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

# A kernel's ports are open to every user of the machine, and a cluster has many.
ENCRYPTED = {"KernelManager": {"transport_encryption": "auto" if zmq.has("curve") else "disabled"}}


def run(notebook: Path, output: Path, log: Path, parameters: dict) -> str | None:
    """Execute ``notebook``; returns what failed, or None."""
    failed, part = log.with_suffix(".failed"), output.with_name(f".{output.name}.part")
    # papermill warns of profile fields, which are not in the parameters cell; the notebook itself
    # refuses what is neither
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        failed.unlink(missing_ok=True)
        papermill.execute_notebook(
            str(notebook),
            str(log),
            parameters,
            progress_bar=False,
            kernel_name="python3",
            config=Config(ENCRYPTED),
        )
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(log, part)
        part.replace(output)
    except PapermillExecutionError as error:
        what = f"in cell {error.cell_index}: {error.ename}: {error.evalue}"
    except DeadKernelError:
        cells = nbformat.read(log, as_version=4).cells
        begun = [cell.metadata.get("papermill", {}).get("start_time") for cell in cells]
        cell = max((number for number, time in enumerate(begun) if time), default=0)
        what = f"in cell {cell}: the kernel was killed, as where there is not enough memory"
    except OSError as error:  # of the notebook, the log or the output, not of what a cell does
        what = f"with {error.filename or log}: {error.strerror}"
    except Exception as error:  # nbformat, papermill and jupyter_client each have their own
        what = (
            "before its first cell: no notebook that can be read, or no kernel to run it "
            f"({type(error).__name__})"
        )
    else:
        return None
    message = (
        f"{notebook} failed {what}\n"
        f"  parameters: {json.dumps(parameters)}\n"
        f"  the notebook up to there, with the traceback: {log}"
    )
    with suppress(OSError):  # of a full disk
        failed.write_text(message + "\n")
        log.touch()
        part.unlink(missing_ok=True)
    return message


def an_object(words: str) -> dict:
    """Parameters by name, from JSON."""
    if isinstance(values := json.loads(words), dict):
        return values
    raise ValueError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--log", type=Path, required=True, help="where it is executed")
    parser.add_argument("--parameters", type=an_object, default={}, help="a JSON object")
    failure = run(**vars(parser.parse_args()))
    if failure:
        sys.exit(failure)


if __name__ == "__main__":
    main()
