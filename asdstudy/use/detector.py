"""A detector: a finished run that scores new sound. It needs the run's folder and nothing else."""

from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from threadpoolctl import ThreadpoolController

from asdlib.batches import Part
from asdlib.embedding import Embedded
from asdlib.errors import InputError, one_of
from asdlib.inliers import aggregate
from asdlib.scoring import fit_inlier, scores_by
from asdlib.waves import WaveBank
from asdstudy.data.inputs import said_in
from asdstudy.paths import composed
from asdstudy.runs.embeddings import read_embeddings
from asdstudy.runs.record import read_record
from asdstudy.runs.run import Run, read_thresholds
from asdstudy.runs.thresholds import empirical_threshold
from asdstudy.systems import centroid, system_of  # noqa: F401 (centroid joins INLIERS)


class Verdict(NamedTuple):
    """What a detector says of a clip; ``threshold`` and ``anomalous`` are None where it has none.

    ``segments`` ``(S,)`` are the scores that the aggregator made one of.
    """

    product: str
    score: float
    threshold: float | None
    anomalous: bool | None
    segments: np.ndarray


class Detector:
    """The encoder, h and thresholds of the run in ``folder``.

    ``false_alarms`` is the share of normal clips that may be above the threshold (see
    :func:`~.thresholds.empirical_threshold`); None takes the run's gamma threshold. A clip has the
    same score as in training, to the bit, on the same processor with the same versions: torch uses
    as many threads as it did then. Raises :class:`InputError` for a folder that is no finished run.
    """

    def __init__(self, folder, false_alarms: float | None = None):
        self.folder = Path(folder)
        self.run = Run(self.folder)
        params, self.profile = self.run.params, self.run.profile
        system, self.products = system_of(params["variant"]), tuple(params["products"])
        choice = params["choice"]
        self.inlier, self.size = choice["inlier"], choice["sizes"][choice["inlier"]]
        self._by_product = system.BY_PRODUCT
        try:
            self.mean, self.std = params["amplitude_mean"], params["amplitude_std"]
            weights = load_file(self.folder / "encoder.safetensors")
            embedded = read_embeddings(self.folder)
            self._embed = system.embedder(weights, self.profile, self.products)
        except (KeyError, OSError, ValueError, BadZipFile, SafetensorError) as error:
            raise InputError(
                f"{self.folder}: a broken run ({error}); expected a complete one: repeat "
                "the command that made it"
            ) from None
        torch.set_num_threads(read_record(self.folder)["embed"]["threads"])
        self._libraries = ThreadpoolController()
        fit, settings = embedded.fitted_on(self.profile.inlier_part), (self.profile, params["seed"])
        with self._libraries.limit(limits=1):
            self._models = [
                fit_inlier(self.inlier, self.size, fit[fit.of_product(product)], *settings)
                for product in self.products
            ]
        own = embedded.of_parts("train", "validation", "test").clips
        self.shortest = min(own.frames.min(), self.profile.segment_frames)  # samples
        self.usual, self.longest = int(own.frames.median()), int(own.frames.max())
        self.thresholds, self.doubts = self._thresholds(false_alarms)

    def _thresholds(self, false_alarms: float | None) -> tuple[dict, list[str]]:
        """The threshold of each product ID, and a sentence for each that is doubtful."""
        stored, doubts = read_thresholds(self.folder), []
        if false_alarms is None:
            return {product: stored[product]["gamma"] for product in self.products}, doubts
        if not 0 < false_alarms < 1:
            raise InputError(f"false alarms {false_alarms}; expected a share between 0 and 1")
        thresholds = {}
        for product in self.products:
            scores = np.array(stored[product]["scores"])
            thresholds[product] = empirical_threshold(scores, false_alarms) if len(scores) else None
            if false_alarms * (len(scores) + 1) < 1:
                doubts.append(
                    f"{self.folder}: {len(scores)} normal clips of product ID {product} cannot "
                    f"guarantee less than {100 / (len(scores) + 1):.2g} % false alarms; the "
                    "threshold is their largest score"
                )
        return thresholds, doubts

    def product_of(self, path: Path, product: str | None = None) -> str | None:
        """The product ID of a recording: the one named, that in its name, the only one, or None."""
        if product is None:
            product = said_in(path.stem)[0].get("product")
        if product is None:
            return self.products[0] if len(self.products) == 1 else None
        product = composed(product)
        one_of(f"product ID of {path}", product, self.products)
        return product

    def verdict(self, sound: np.ndarray, product: str | None = None) -> Verdict:
        """The verdict on one clip, int16 ``(samples,)`` at 16 kHz.

        Where the ``product`` is not known, the score is the smallest over all product IDs.
        """
        clips = pd.DataFrame({"frames": [len(sound)]})
        frames = np.array([len(sound)])
        bank = WaveBank(clips, sound, np.array([0]), frames, self.mean, self.std, fingerprint="")

        def judged(product: str | None) -> Verdict:
            number = -1 if product is None else self.products.index(product)
            part = Part(bank, np.array([0]), np.array([number]), self.mean, self.std)
            return self.judge(Embedded(clips, *self._embed(part)), product)

        if product is None and self._by_product:
            return min(map(judged, self.products), key=lambda verdict: verdict.score)
        return judged(product)

    def judge(self, embedded: Embedded, product: str | None = None) -> Verdict:
        """The verdict on one clip that is embedded already."""
        verdicts = []
        with self._libraries.limit(limits=1):
            for k, name in enumerate(self.products):
                if product in (None, name):
                    scores = scores_by(self._models[k], self.inlier, self.size, embedded, k)
                    score = float(aggregate(scores, self.profile.aggregation, self.inlier)[0])
                    threshold = self.thresholds[name]
                    anomalous = None if threshold is None else score > threshold
                    verdicts.append(Verdict(name, score, threshold, anomalous, scores[0]))
        return min(verdicts, key=lambda verdict: verdict.score)
