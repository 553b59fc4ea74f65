"""The embeddings of a run, in its file ``embeddings.npz``."""

from pathlib import Path

import numpy as np
import pandas as pd

from asdlib.embedding import ARRAYS, Embedded

FILE = "embeddings.npz"


def write_embeddings(folder: Path, embedded: Embedded) -> None:
    """Write everything, with the last three names of each clip's path."""
    arrays = {name: getattr(embedded, name) for name in ARRAYS}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    names = ["/".join(path.parts[-3:]) for path in embedded.clips.path]
    for name, values in embedded.clips.assign(path=names).items():
        column = values.to_numpy()
        arrays[f"clip_{name}"] = column if column.dtype.kind in "iuf" else column.astype(str)
    np.savez_compressed(folder / FILE, **arrays)


def read_embeddings(folder: Path) -> Embedded:
    """Read what :func:`write_embeddings` wrote, to the bit."""
    with np.load(folder / FILE) as file:
        arrays = dict(file)
    clips = pd.DataFrame(
        {n.removeprefix("clip_"): v for n, v in arrays.items() if n.startswith("clip_")}
    )
    clips["path"] = [Path(name) for name in clips.path]
    return Embedded(clips, *(arrays.get(name) for name in ARRAYS))
