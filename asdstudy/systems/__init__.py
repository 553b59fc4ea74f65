"""Systems: what is trained and what it says of every clip, by the profile's ``approach``.

- ``serial``: one encoder a machine type, then h on its embedding. The proposed method, its
  ablations, the earlier serial method and the challenge's classifier.
- ``ddcsad``: one encoder a product ID, that ID against its siblings and the other machines.
- ``autoencoder``: the challenge's baseline.
- ``spectrum``: no training; the time-averaged log-mel stands for the embedding.
- ``parallel``: several of these, their scores standardised on train clips and averaged.

Each returns the same: weights, history, and for the clips that h is fitted on, the test clips and
some of other machines their embeddings and logits. What a logit says is higher for what is more
normal, so that a system with a score of its own hands over its negative.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import KFold

from asdlib.batches import Part, Split
from asdlib.encoder import Encoder
from asdlib.errors import InputError
from asdlib.inliers import Mahalanobis
from asdlib.profiles import AUTOENCODER_EPOCHS, Profile
from asdlib.scoring import Embedded, check_enough
from asdlib.training import collapses, embed_segments, train
from asdlib.waves import WaveBank
from asdstudy.runs.checkpoints import Checkpoints
from asdstudy.systems import autoencoder
from asdstudy.systems.trivial import mean_spectra

OTHERS_SHOWN = 200  # clips of other machine types that are embedded too, for the maps of Fig. 3


@dataclass(frozen=True)
class Built:
    """A trained system: what a run folder keeps of it.

    ``weights`` by name, ``history`` a row an epoch (of ``ddcsad`` one for each model), ``embedded``
    with the parts "fit", "test" and "others", ``models`` and ``parameters`` how many networks there
    are for this machine type, and how many weights they have together.
    """

    weights: dict[str, torch.Tensor]
    history: pd.DataFrame
    embedded: dict[str, Embedded]
    models: int
    parameters: int


def build(
    split: Split,
    others: list[WaveBank],
    profile: Profile,
    seed: int,
    progress: bool = True,
    checkpoints: Checkpoints | None = None,
) -> Built:
    """Train the system of ``profile.approach`` and embed its clips.

    Raises :class:`InputError`, before any training, where the test clips are not fit to be scored,
    or too few clips are left for h.
    """
    clips = split.train.bank.clips.iloc[test_rows(split)]
    if unknown := sorted(set(clips["product"]) - set(split.products)):
        raise InputError(
            f"{_where(split)}: product IDs {unknown} are tested but have no train clips"
        )
    if profile.product_entropy == "softmax" and len(split.products) < 2:
        raise InputError(
            f"{_where(split)}: one product ID only; a softmax over product IDs needs two"
        )
    vectors = profile.segments if profile.approach in ("serial", "ddcsad") else 1  # of a clip
    check_enough(split.train.bank.clips.iloc[fit_rows(split, profile)], vectors, profile)
    checkpoints = checkpoints or Checkpoints()
    return APPROACHES[profile.approach](split, others, profile, seed, progress, checkpoints)


def serial(split, others, profile, seed, progress, checkpoints) -> Built:
    """One encoder for the machine type (sections III and IV-A)."""
    encoder, history = train(
        split, profile, seed, progress=progress, checkpoint=checkpoints.of("encoder")
    )
    for sentence in collapses(encoder, split, profile, seed):
        warnings.warn(sentence, stacklevel=2)
    rng = np.random.default_rng(seed)
    shown = []
    for bank in others:
        rows = np.flatnonzero(bank.clips.split == "train")
        count = min(len(rows), -(-OTHERS_SHOWN // len(others)))
        part = _part(split, profile, np.sort(rng.choice(rows, count, replace=False)), bank)
        shown.append(_embed(encoder, part, profile, progress))
    embedded = {
        "fit": _embed(encoder, _part(split, profile, fit_rows(split, profile)), profile, progress),
        "test": _embed(encoder, _part(split, profile, test_rows(split)), profile, progress),
    }
    embedded["others"] = joined(shown) if shown else embedded["test"].none()
    return Built(dict(encoder.state_dict()), history, embedded, 1, _size(encoder))


def ddcsad(split, others, profile, seed, progress, checkpoints) -> Built:
    """One encoder a product ID (section II): a clip is embedded by the one of its own ID."""
    weights, histories, fits, tests = {}, [], [], []
    for k, product in enumerate(split.products):
        own, checkpoint = one_against_rest(split, k), checkpoints.of(product)
        encoder, history = train(own, profile, seed, progress=progress, checkpoint=checkpoint)
        for rows, parts in ((fit_rows(split, profile), fits), (test_rows(split), tests)):
            rows = rows[split.train.bank.clips["product"].to_numpy()[rows] == product]
            if len(rows):
                part = _embed(encoder, _part(split, profile, rows), profile, progress)
                logits = np.full((*part.logits.shape[:2], len(split.products)), np.nan, np.float32)
                logits[..., k] = part.logits[..., 0]
                parts.append(replace(part, logits=logits))
        weights |= {f"{product}.{name}": value for name, value in encoder.state_dict().items()}
        histories.append(history.assign(product=product))
    test = joined(tests)
    embedded = {"fit": joined(fits), "test": test, "others": test.none()}
    count = len(split.products)
    return Built(weights, pd.concat(histories), embedded, count, count * _size(encoder))


def one_against_rest(split: Split, k: int) -> Split:
    """The split of DDCSAD's k-th model: positives of product ID k, the rest among the negatives."""

    def halves(part: Part) -> tuple[Part, Part]:
        own = part.products == k
        positives = replace(part, rows=part.rows[own], products=np.zeros(own.sum(), int))
        siblings = replace(part, rows=part.rows[~own], products=np.full((~own).sum(), -1))
        return positives, siblings

    (train_own, train_rest), (own, rest) = halves(split.train), halves(split.validation)
    others, held_out = [*split.others_train], [*split.others_validation]
    if len(train_rest):
        others, held_out = [train_rest, *others], [rest, *held_out]
    if not others:
        raise InputError(f"{_where(split)}: one product ID and no other machine: no negatives")
    return Split((split.products[k],), train_own, own, tuple(others), tuple(held_out))


def autoencode(split, others, profile, seed, progress, checkpoints) -> Built:
    """The challenge's autoencoder, on all train clips of the machine type."""
    epochs = profile.epochs if profile.approach == "autoencoder" else AUTOENCODER_EPOCHS
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, history = autoencoder.train_autoencoder(
        split.train, split.validation, epochs, seed, device, progress, checkpoints.of("autoencoder")
    )
    embedded = {}
    for name, rows in (("fit", fit_rows(split, profile)), ("test", test_rows(split))):
        scores, codes = autoencoder.score(model, _part(split, profile, rows))
        embedded[name] = _of_clips(split, rows, codes, scores)
    embedded["others"] = embedded["test"].none()
    return Built(dict(model.state_dict()), history, embedded, 1, _size(model))


def spectrum(split, others, profile, seed, progress, checkpoints) -> Built:
    """No network: the mean log-mel of a clip stands for its embedding."""
    embedded = {}
    for name, rows in (("fit", fit_rows(split, profile)), ("test", test_rows(split))):
        embedded[name] = _of_clips(split, rows, mean_spectra(split.train.bank, rows, profile))
    embedded["others"] = embedded["test"].none()
    return Built({}, pd.DataFrame(columns=["epoch", "loss", "validation_loss"]), embedded, 0, 0)


def parallel(split, others, profile, seed, progress, checkpoints) -> Built:
    """Three systems of different kinds, in the manner of the challenge's winner.

    The autoencoder's error, the classifier's negative log-odds, and the Mahalanobis distance of the
    mean log-mel, each standardised by its mean and standard deviation over the product ID's train
    clips, are averaged. Which models the winner combined is not copied.
    """
    everything = profile.replace(inlier_part="train")  # for what is not trained
    kinds = [
        autoencode(split, others, profile, seed, progress, checkpoints),
        serial(split, [], profile, seed, progress, checkpoints),
        spectrum(split, others, everything, seed, progress, checkpoints),
    ]
    encoded = kinds[1].embedded
    scores = np.zeros(len(encoded["test"].clips))
    for built in kinds:
        for k, product in enumerate(split.products):
            own = built.embedded["test"].of_product(product)
            if own.any():
                scores[own] += standardised(*own_scores(built, k, product, seed)) / len(kinds)
    codes = {name: encoded[name].embeddings.mean(axis=1) for name in ("fit", "test")}
    embedded = {
        "fit": _of_clips(split, fit_rows(split, profile), codes["fit"]),
        "test": _of_clips(split, test_rows(split), codes["test"], scores),
    }
    embedded["others"] = embedded["test"].none()
    weights = {f"ae.{name}": value for name, value in kinds[0].weights.items()}
    weights |= {f"classifier.{name}": value for name, value in kinds[1].weights.items()}
    networks, parameters = (
        sum(getattr(built, what) for built in kinds) for what in ("models", "parameters")
    )
    squared = kinds[0].history.rename(columns=lambda name: name.replace("loss", "squared_error"))
    history = kinds[1].history.merge(squared, on="epoch", how="outer")  # the one may be longer
    return Built(weights, history, embedded, networks, parameters)


APPROACHES: dict[str, Callable[..., Built]] = {
    "serial": serial,
    "ddcsad": ddcsad,
    "autoencoder": autoencode,
    "spectrum": spectrum,
    "parallel": parallel,
}


def standardised(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The scores ``new`` in standard deviations of the scores ``known`` from their mean."""
    return (new - known.mean()) / max(known.std(), 1e-9)


def own_scores(built: Built, k: int, product: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Clip scores of the k-th product ID by one system of ``parallel``: train clips, test clips.

    Without a network the score is h's. h on the very clips that it was fitted on says far too
    little, so that each fifth of the train clips is scored by an h fitted on the others.
    """
    parts = [built.embedded[name] for name in ("fit", "test")]
    own = [part.of_product(product) for part in parts]
    if built.models:
        return tuple(
            -part.logits[rows][..., k].mean(axis=1) for part, rows in zip(parts, own, strict=True)
        )
    known, new = (part.embeddings[rows][:, 0] for part, rows in zip(parts, own, strict=True))
    if len(known) < 3:  # too few to leave any out
        return Mahalanobis().fit(known).score(known), Mahalanobis().fit(known).score(new)
    unheard = np.empty(len(known))
    for rest, left_out in KFold(min(5, len(known)), shuffle=True, random_state=seed).split(known):
        unheard[left_out] = Mahalanobis().fit(known[rest]).score(known[left_out])
    return unheard, Mahalanobis().fit(known).score(new)


def _size(network: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def fit_rows(split: Split, profile: Profile) -> np.ndarray:
    """Rows of the bank that h is fitted on: the validation part, or all train clips."""
    if profile.inlier_part == "train":
        return np.sort(np.concatenate([split.train.rows, split.validation.rows]))
    return split.validation.rows


def test_rows(split: Split) -> np.ndarray:
    """Rows of the bank that are scored."""
    rows = np.flatnonzero(split.train.bank.clips.split == "test")
    if not len(rows):
        raise InputError(f"{_where(split)}: no test clips to score")
    return rows


def joined(parts: list[Embedded]) -> Embedded:
    """Several parts as one."""
    return Embedded(
        pd.concat([part.clips for part in parts]),
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate([part.logits for part in parts]),
    )


def _part(split: Split, profile: Profile, rows: np.ndarray, bank: WaveBank | None = None) -> Part:
    target = split.train.bank
    bank = bank or target
    scale = bank if profile.normalisation == "own" else target
    return Part(bank, rows, np.full(len(rows), -1), scale.mean, scale.std)


def _embed(encoder: Encoder, part: Part, profile: Profile, progress: bool) -> Embedded:
    clips = part.bank.clips.iloc[part.rows]
    return Embedded(clips, *embed_segments(encoder, part, profile, progress))


def _of_clips(split: Split, rows: np.ndarray, vectors: np.ndarray, scores=None) -> Embedded:
    """A vector and a score a clip, as if it had a single segment; the score is every ID's."""
    scores = np.full(len(rows), np.nan) if scores is None else scores
    logits = np.repeat(-scores[:, None, None], len(split.products), axis=2)
    return Embedded(split.train.bank.clips.iloc[rows], vectors[:, None], logits)


def _where(split: Split) -> str:
    return str(split.train.bank.clips.path.iloc[0].parent.parent)
