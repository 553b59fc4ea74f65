"""Checkpoints: an interrupted run goes on from where it was, to the same bits on the CPU.

A checkpoint is one file for each network in training, beside the run folder and hidden; it is
replaced whole after an epoch, at most every few seconds, and removed when the run folder is whole.
It is read without executing anything in it (``weights_only``).
"""

import glob
import json
import signal
import threading
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from asdlib.errors import InputError
from asdstudy import paths

EVERY = 5.0  # seconds from one file to the next: writing one takes as long as two quick batches


class Stopped(BaseException):
    """SIGTERM ended the run; the same command continues it.

    It may come at any line, so it must be none of what ``except Exception`` takes for a failure.
    """


class Checkpoint:
    """The state of one network in training, at ``path``.

    ``identity`` says what is being trained. A file of anything else is ignored; a file may name
    more than that, such as weights to start from that are gone by now.
    """

    def __init__(self, path: Path, identity: dict):
        self.path, self.identity = path, json.dumps(identity, sort_keys=True)
        self.taken_up = False  # whether the training continues from it
        self._saved = -np.inf  # when, in seconds of time.monotonic

    def load(self) -> dict | None:
        """The saved state, or None where there is none for this identity; says why in a warning."""
        if not self.path.exists():
            return None
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            kept = json.loads(state["identity"])
            if json.loads(self.identity).items() <= kept.items():
                self.taken_up = True
                return state
            why = "is of another run (parameters, sound or code have changed)"
        except Exception as error:  # torch, pickle and zipfile each have their own
            why = f"not a checkpoint that can be read ({type(error).__name__})"
        warnings.warn(f"{self.path}: {why}; training starts again", stacklevel=2)
        return None

    def save(self, state: dict, rng: np.random.Generator) -> None:
        """Replace the file by ``state``: tensors, numbers, strings, and lists and dicts of them.

        All random states of the training, ``rng``'s and torch's, are kept with it. Does nothing
        where the last file is younger than :data:`EVERY`: of short epochs, some are repeated then.
        """
        if time.monotonic() - self._saved < EVERY:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        random = {"numpy": json.dumps(rng.bit_generator.state), "torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            random["cuda"] = torch.cuda.get_rng_state()
        with paths.replacing(self.path) as part, part.open("wb") as file:
            torch.save({"identity": self.identity, "random": random, **state}, file)
        self._saved = time.monotonic()

    @staticmethod
    def restore_random(state: dict, rng: np.random.Generator) -> None:
        """Put back the random states that :meth:`save` kept with ``state``."""
        random = state["random"]
        rng.bit_generator.state = json.loads(random["numpy"])
        torch.set_rng_state(random["torch"])
        if "cuda" in random and torch.cuda.is_available():
            torch.cuda.set_rng_state(random["cuda"])


class Checkpoints:
    """The checkpoints of a run: ``.<run folder>.<network>.checkpoint`` beside its folder."""

    def __init__(self, folder: Path, identity: dict):
        self.folder, self.identity = folder, identity
        self.networks: list[Checkpoint] = []

    @property
    def resumed(self) -> bool:
        """Whether any network went on from a checkpoint: what came before it was not timed."""
        return any(checkpoint.taken_up for checkpoint in self.networks)

    def of(self, network: str = "encoder") -> Checkpoint:
        """That of one network of the run."""
        path = self.folder.with_name(f".{self.folder.name}.{network}.checkpoint")
        self.networks.append(Checkpoint(path, self.identity | {"network": network}))
        return self.networks[-1]

    def there(self) -> list[Path]:
        """The files of all of them."""
        return list(self.folder.parent.glob(f".{glob.escape(self.folder.name)}.*.checkpoint"))

    def remove(self) -> None:
        """Remove them all, and what killed processes of this computer left half written of them."""
        for path in self.there():
            for file in (*paths.left_parts(path), path):
                file.unlink(missing_ok=True)

    @contextmanager
    def kept(self):
        """``with checkpoints.kept():`` SIGTERM stops the run inside and keeps them.

        They are removed when all has been done, and where the input was wrong. Those of an earlier
        process stay even then: what has just failed may pass, and they have cost their time.
        """
        earlier = self.there()
        with sigterm_raises():
            try:
                yield
            except InputError as error:
                if not earlier and not isinstance(error, paths.NoRoom):
                    self.remove()
                raise
        self.remove()


@contextmanager
def sigterm_raises():
    """SIGTERM, such as a cluster's time limit, becomes :class:`Stopped` at the next line of Python.

    In the main thread only: elsewhere Python sets no handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise Stopped(
            "stopped by SIGTERM; the epochs are kept, run the same command again to go on"
        )

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
