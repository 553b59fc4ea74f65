"""Three systems of different kinds side by side, in the manner of the challenge's winner.

The autoencoder's error, the classifier's negative log-odds, and the Mahalanobis distance of the
mean log-mel, each standardised by its mean and standard deviation over the product ID's train
clips, are averaged. Which models the winner combined is not copied.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import KFold

from asdlib.embedding import Embedded
from asdlib.inliers import Mahalanobis
from asdstudy.systems import AUTOENCODER_EPOCHS, autoencoder, softmax, spectrum
from asdstudy.systems.task import Task, Trained, below

SEGMENTED, SAYS, HEARS_OTHERS = False, ("output",), False


def train(task: Task) -> Trained:
    """The two that are networks."""
    classifier = softmax.train(task)
    profile = task.profile.replace(epochs=AUTOENCODER_EPOCHS)
    ae = autoencoder.train(replace(task, profile=profile))
    weights = {f"ae.{name}": value for name, value in ae.weights.items()}
    weights |= {f"classifier.{name}": value for name, value in classifier.weights.items()}
    squared = ae.history.rename(columns=lambda name: name.replace("loss", "squared_error"))
    history = classifier.history.merge(squared, on="epoch", how="outer")  # the one may be longer
    return Trained(weights, history, 2, ae.parameters + classifier.parameters)


def embed(task: Task, weights: dict[str, torch.Tensor]) -> Embedded:
    """The classifier's mean embedding of each clip; the output is the average.

    That of a product ID without test clips is NaN.
    """
    encoded = softmax.embed(replace(task, others=()), below("classifier.", weights))
    ae = autoencoder.embed(task, below("ae.", weights))
    spectra = spectrum.embed(task, {}).embeddings[:, 0]  # the same clips in the same order
    tested = (encoded.clips.part == "test").to_numpy()
    output = np.full(len(tested), np.nan)
    for k, product in enumerate(task.split.products):
        of_product = encoded.of_product(product)
        train, test = of_product & ~tested, of_product & tested
        if test.any():
            log_odds = encoded.logits[..., k].mean(axis=1)
            distances = unheard_distances(spectra[train], spectra[test], encoded.clips[train], task)
            pairs = [(scores[train], scores[test]) for scores in (ae.output[:, 0], -log_odds)]
            pairs.append(distances)
            for rows, which in ((train, 0), (test, 1)):
                three = [standardised(pair[0], pair[which]) for pair in pairs]
                output[rows] = np.mean(three, axis=0)
    return Embedded(encoded.clips, encoded.embeddings.mean(axis=1)[:, None], None, output[:, None])


def standardised(usual: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The scores ``new`` in standard deviations of the scores ``usual`` from their mean."""
    return (new - usual.mean()) / max(usual.std(), 1e-9)


def unheard_distances(
    train: np.ndarray, test: np.ndarray, clips: pd.DataFrame, task: Task
) -> tuple[np.ndarray, np.ndarray]:
    """Mahalanobis distances of train and test vectors from the train ones of a product ID.

    Clips lie far too near to a distribution that was fitted to them, so each fifth of the train
    clips is scored by a fit to the others; ``clips`` of one event stay together.
    """
    alone = pd.Series([str(row) for row in range(len(clips))], clips.index)
    events = pd.factorize(clips.event.where(clips.event != "", "alone " + alone))[0]
    count = events.max() + 1
    if count < 3:  # too few to leave any out
        return distances(train, train), distances(train, test)
    unheard = np.empty(len(train))
    folds = KFold(min(5, count), shuffle=True, random_state=task.seed)
    for _, left_out in folds.split(range(count)):
        fold = np.isin(events, left_out)
        unheard[fold] = distances(train[~fold], train[fold])
    return unheard, distances(train, test)


def distances(fitted: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances of ``vectors`` from ``fitted``."""
    return Mahalanobis().fit(fitted).score(vectors)
