"""Embedding: f of the segments of every clip that is fitted on, scored or shown, and their file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from asdlib.batches import Part
from asdlib.encoder import Encoder, device_of
from asdlib.profiles import Profile

ARRAYS = ("embeddings", "logits", "output")


@dataclass(frozen=True)
class Embedded:
    """Clips with the embeddings ``(clips, S, D)`` of their segments, as float32.

    ``clips`` are rows of the corpus index with one more column, ``part``: "train", "validation",
    "test" or "others". ``logits`` ``(clips, S, K)`` of the product IDs and ``output``
    ``(clips, S)``, an anomaly score of the system's own, are None where a system has none.
    """

    clips: pd.DataFrame
    embeddings: np.ndarray
    logits: np.ndarray | None = None
    output: np.ndarray | None = None

    def __getitem__(self, rows: np.ndarray) -> "Embedded":
        """Some of the clips, by bool."""
        arrays = (getattr(self, name) for name in ARRAYS)
        return Embedded(self.clips[rows], *(None if a is None else a[rows] for a in arrays))

    def of_product(self, product: str) -> np.ndarray:
        """Which clips are of a product ID: bool ``(clips,)``."""
        return (self.clips["product"] == product).to_numpy()

    def of_parts(self, *parts: str) -> "Embedded":
        """The clips of some parts only."""
        return self[self.clips.part.isin(parts).to_numpy()]

    def fitted_on(self, inlier_part: str) -> "Embedded":
        """The clips that h is fitted on: the validation part, or all train clips."""
        return self.of_parts("validation", *(["train"] if inlier_part == "train" else []))

    @classmethod
    def joined(cls, several: Sequence["Embedded"]) -> "Embedded":
        """Several as one."""
        columns = ([getattr(one, name) for one in several] for name in ARRAYS)
        return cls(
            pd.concat([one.clips for one in several]),
            *(None if column[0] is None else np.concatenate(column) for column in columns),
        )

    def save(self, path) -> None:
        """Write everything to an ``.npz`` file, with the last three names of each clip's path."""
        names = ["/".join(path.parts[-3:]) for path in self.clips.path]
        arrays = {name: getattr(self, name) for name in ARRAYS if getattr(self, name) is not None}
        for name, values in self.clips.assign(path=names).items():
            column = values.to_numpy()
            arrays[f"clip_{name}"] = column if column.dtype.kind in "iuf" else column.astype(str)
        with open(path, "wb") as file:  # numpy would add an ending to a mere name
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path) -> "Embedded":
        """Read what :meth:`save` wrote, to the bit."""
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        clips = pd.DataFrame(
            {n.removeprefix("clip_"): v for n, v in arrays.items() if n.startswith("clip_")}
        )
        clips["path"] = [Path(name) for name in clips.path]
        return cls(clips, *(arrays.get(name) for name in ARRAYS))


def embed_segments(
    encoder: Encoder, part: Part, profile: Profile, progress: bool = True, rows: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """f and g_product of all S segments of every clip: ``(clips, S, 128)``, ``(clips, S, K)``.

    Overlapping segments mostly start between hops, so their log-mels have no frame in common.
    """
    device, count = device_of(encoder), profile.segments
    clips_at_once = max(rows // count, 1)
    chunks = range(0, len(part), clips_at_once)
    embeddings, logits = [], []
    with torch.inference_mode():
        for first in tqdm(chunks, "embedding", unit="batch", mininterval=2, disable=not progress):
            which = np.arange(first, min(first + clips_at_once, len(part)))
            waves = part.segments(which, count, profile.segment_frames)
            embedding = encoder(waves.flatten(0, 1).to(device))
            embeddings.append(embedding.cpu().view(len(which), count, -1))
            logits.append(encoder.heads(embedding)[0].cpu().view(len(which), count, -1))
    return torch.cat(embeddings).numpy(), torch.cat(logits).numpy()
