"""Three systems of different kinds side by side, in the manner of the challenge's winner.

The autoencoder's error, the classifier's negative log-odds, and the Mahalanobis distance of the
mean log-mel, each standardised by its mean and standard deviation over the product ID's train
clips, are averaged. Which models the winner combined is not copied.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist
from sklearn.model_selection import KFold

from asdlib.batches import Part, event_keys
from asdlib.embedding import Embedded
from asdlib.inliers import Mahalanobis
from asdlib.profiles import Profile
from asdstudy.systems import AUTOENCODER_EPOCHS, autoencoder, softmax, spectrum
from asdstudy.systems.task import Task, Trained, below

SEGMENTED, SAYS, HEARS_OTHERS, BY_PRODUCT = False, ("output",), False, True
USUAL = ("mean", "std", "centre", "precision")


def train(task: Task) -> Trained:
    """The two that are networks, then what the three say of the train clips of each product ID."""
    classifier = softmax.train(task)
    profile = task.profile.replace(epochs=AUTOENCODER_EPOCHS)
    ae = autoencoder.train(replace(task, profile=profile))
    weights = {f"ae.{name}": value for name, value in ae.weights.items()}
    weights |= {f"classifier.{name}": value for name, value in classifier.weights.items()}
    squared = ae.history.rename(columns=lambda name: name.replace("loss", "squared_error"))
    history = classifier.history.merge(squared, on="epoch", how="outer")  # the one may be longer
    weights |= usual(task, weights)
    return Trained(weights, history, 2, ae.parameters + classifier.parameters)


def usual(task: Task, weights: dict) -> dict[str, torch.Tensor]:
    """By the train clips of each product ID: ``mean`` and ``std`` of the three scores ``(K, 3)``,
    ``centre`` ``(K, M)`` and ``precision`` ``(K, M, M)`` of the spectra; and the average scores of
    the ``train`` clips themselves."""
    part, products = task.part(task.train_rows), task.split.products
    _, two, spectra = three(weights, task.profile, products)(part)
    clips, facts, averages = task.clips(part.rows), [], np.empty(len(part))
    for k in range(len(products)):
        own = part.products == k
        scores = np.c_[two[own], unheard_distances(spectra[own], clips[own], task.seed)]
        mean, std = scores.mean(axis=0), scores.std(axis=0)
        averages[own] = standardised(scores, mean, std)
        model = Mahalanobis().fit(spectra[own]).model
        facts.append([mean, std, model.location_, model.precision_])
    arrays = [*map(np.stack, zip(*facts, strict=True)), averages]
    return dict(zip((*USUAL, "train"), map(torch.from_numpy, arrays), strict=True))


def embed(task: Task, weights: dict[str, torch.Tensor]) -> Embedded:
    """The classifier's mean embedding of each clip; the output is the average."""
    embedded = task.embedded(embedder(weights, task.profile, task.split.products))
    # those of the train clips are by fits without the clip
    embedded.output[: len(task.train_rows), 0] = weights["train"].numpy()
    return embedded


def embedder(weights: dict, profile: Profile, products) -> Callable:
    """What makes clips the arrays of an Embedded."""
    parts = three(weights, profile, products)
    mean, std, centre, precision = (weights[name].numpy() for name in USUAL)

    def embed_part(part: Part) -> tuple:
        embeddings, two, spectra = parts(part)
        distances = [
            cdist(vector[None], centre[[k]], "mahalanobis", VI=precision[k])[0, 0] ** 2
            for vector, k in zip(spectra.astype(np.float64), part.products, strict=True)
        ]
        scores = np.c_[two, distances]
        output = standardised(scores, mean[part.products], std[part.products])
        return embeddings, None, output[:, None]

    return embed_part


def three(weights: dict, profile: Profile, products) -> Callable:
    """What makes a part of N clips the classifier's mean embeddings ``(N, 1, D)``, the scores of
    the autoencoder and the classifier ``(N, 2)``, and the spectra ``(N, M)``."""
    classify = softmax.embedder(below("classifier.", weights), profile, products)
    reproduce = autoencoder.embedder(below("ae.", weights))

    def embed_part(part: Part) -> tuple:
        embeddings, logits = classify(part)
        log_odds = [-logits[row, :, k].mean() for row, k in enumerate(part.products)]
        two = np.c_[reproduce(part)[2], log_odds]
        return embeddings.mean(axis=1)[:, None], two, spectrum.mean_spectra(part, profile)

    return embed_part


def standardised(scores: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """The average of three scores ``(N, 3)``, each in standard deviations from its usual mean."""
    return ((scores - mean) / np.maximum(std, 1e-9)).mean(axis=1)


def unheard_distances(train: np.ndarray, clips: pd.DataFrame, seed: int) -> np.ndarray:
    """Squared Mahalanobis distances of the train vectors of a product ID from each other.

    Clips lie far too near to a distribution that was fitted to them, so each fifth of the train
    clips is scored by a fit to the others; ``clips`` of one event stay together.
    """
    events = clips.groupby(event_keys(clips), sort=False).ngroup()
    count = events.max() + 1
    if count < 3:  # too few to leave any out
        return distances(train, train)
    unheard = np.empty(len(train))
    folds = KFold(min(5, count), shuffle=True, random_state=seed)
    for _, left_out in folds.split(range(count)):
        fold = np.isin(events, left_out)
        unheard[fold] = distances(train[~fold], train[fold])
    return unheard


def distances(fitted: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances of ``vectors`` from ``fitted``."""
    return Mahalanobis().fit(fitted).score(vectors)
