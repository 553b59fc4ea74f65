"""Corpora: where they are, and what is in them; the modules beside make, fetch and adopt them."""

import hashlib
import os

import pandas as pd

from asdlib.errors import one_of
from asdlib.profiles import SAMPLE_RATE
from asdstudy import paths
from asdstudy.data import corpora, inputs


def open_corpus(
    corpus: str,
    data_dir=None,
    machine_type: str | None = None,
    progress: bool = True,
    domain: str = "source",
):
    """The corpus index, of one domain or of "both", and the banks of all its machine types.

    Returns ``(clips, banks)``; ``banks`` by machine type. The simulated corpus is made at its
    default place if it is missing. Raises :class:`InputError` where ``machine_type`` is not in the
    corpus.
    """
    from asdstudy.data.banks import open_bank  # brings torch, which nobody needs for a setting

    corpus = inputs.name_of("corpus", corpus)
    folder = paths.chosen(data_dir, paths.data_dir(corpus))
    if corpus == "simulated" and not data_dir:
        from asdstudy.data.simulate import make_corpus

        make_corpus(folder)
    clips = corpora.index(folder, domain=None if domain == "both" else domain)
    present = list(clips.machine_type.unique())
    if machine_type is not None:
        one_of(f"machine type in {folder}", inputs.name_of("machine type", machine_type), present)
    banks = {
        name: open_bank(part, paths.waves_dir(corpus), progress)
        for name, part in clips.groupby("machine_type", sort=True)
    }
    return clips, banks


def sound_fingerprint(banks: dict) -> str:
    """One SHA-256 over names and samples of the banks of all machine types, its first 16 digits."""
    parts = [f"{name} {banks[name].fingerprint}\n" for name in sorted(banks)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def labels_of(clips: pd.DataFrame) -> str:
    """A short hash of what the corpus says of its clips: labels may come later than the sound."""
    columns = ["machine_type", "split", "product", "domain", "label", "attributes", "event"]
    labels = clips[columns].assign(file=[path.name for path in clips.path])
    return hashlib.sha256(labels.to_csv(index=False).encode()).hexdigest()[:16]


def summary(clips: pd.DataFrame) -> pd.DataFrame:
    """Clips by machine type and product ID: counts by split and label, and the lengths.

    A machine type whose product IDs all have the same has one row, "each of" so many.
    """
    keys = [clips.machine_type, clips["product"]]
    kind = clips.split.where(clips.split == "train", clips.split + ", " + clips.label)
    table = pd.crosstab(keys, kind)
    seconds = (clips.frames / SAMPLE_RATE).groupby(keys).agg(["min", "max"]).to_numpy()
    lengths = [f"{low:.1f}" if low == high else f"{low:.1f}-{high:.1f}" for low, high in seconds]
    table = table.assign(**{"clip (s)": lengths})
    rows = [_in_one_row(name, of_type) for name, of_type in table.groupby(level=0)]
    return pd.concat(rows).rename_axis(index=["machine type", "product ID"], columns=None)


def _in_one_row(machine_type: str, of_type: pd.DataFrame) -> pd.DataFrame:
    """One row if there are several and all are alike, else all of them."""
    if len(of_type) == 1 or len(of_type.drop_duplicates()) > 1:
        return of_type
    name = pd.MultiIndex.from_tuples([(machine_type, f"each of {len(of_type)}")])
    return of_type.head(1).set_axis(name)


def is_corpus(folder, machine_type: str) -> bool:
    """Whether a corpus with that machine type lies there."""
    return os.path.isdir(folder) and paths.composed(machine_type) in corpora.machine_folders(folder)
