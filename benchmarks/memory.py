"""Memory of a full-size machine type, as the challenge has it (``make memory``).

Simulates one machine type of 6 product IDs with 1000 train and 200 test clips of 10 s each, and a
small second one, then runs bank, training and scoring in a process of its own, and prints the
largest resident memory that the system saw of it beside the limit. Needs 5 GB of disk for a while.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from asdstudy.data.simulate import Simulation, make_corpus

LIMIT_GIB = 4.0
RUN = """
import sys
from asdstudy.runs.stages import execute
root, variant, epochs = sys.argv[1:]
run = execute("big", "fan", variant, "quick", data_dir=root + "/corpus", out_dir=root + "/runs",
              epochs=int(epochs))
print(f"harmonic mean {100 * run.result():.1f} %, {run.params['wall_seconds']:.0f} s")
"""


def full_size(root: Path, full: Simulation, beside: Sequence[str] = ("pump",)) -> Path:
    """A corpus below ``root``: its fan as ``full`` says, and a few clips of machines beside it."""
    make_corpus(root / "full", full, ("fan",))
    make_corpus(root / "small", Simulation(train_clips=20, test_clips=2), beside)
    (root / "corpus").mkdir()
    for kind, machine_type in [("full", "fan"), *[("small", name) for name in beside]]:
        (root / "corpus" / machine_type).symlink_to((root / kind / machine_type).resolve())
    return root / "corpus"


def main() -> None:
    parser = argparse.ArgumentParser(prog="make memory", description=__doc__.split("\n")[0])
    parser.add_argument("--train", type=int, default=1000, help="train clips of a product ID")
    parser.add_argument("--test", type=int, default=100, help="test clips of each label")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--variant", default="proposed")
    parser.add_argument("--folder", help="where to put the clips for a while (default: temporary)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root, begun = Path(folder), time.perf_counter()
        full = Simulation(
            train_clips=arguments.train, test_clips=arguments.test, clip_seconds=arguments.seconds
        )
        full_size(root, full)
        print(f"simulated in {time.perf_counter() - begun:.0f} s", flush=True)
        # the simulator's processes are children, too, but none comes near a run's memory
        words = [sys.executable, "-c", RUN, root, arguments.variant, str(arguments.epochs)]
        # the limit is about the CPU: a GPU would take the bank
        environment = {"ASDLIB_ROOT": folder, "CUDA_VISIBLE_DEVICES": ""}
        subprocess.run(list(map(str, words)), check=True, env=os.environ | environment)
        # Linux counts in KiB; pages of the memory-mapped bank are among them
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        print(f"peak resident memory {peak:.2f} GiB; the limit is {LIMIT_GIB:.0f} GiB")
        sys.exit(peak > LIMIT_GIB)


if __name__ == "__main__":
    main()
