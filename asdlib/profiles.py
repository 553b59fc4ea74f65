"""Profiles: every choice of the method as one named, typed, validated field.

The defaults of :class:`Profile` follow our reading of the paper (Table I, section IV-A). Most
fields from ``domain`` to ``aggregation`` are switches: there the paper is silent or the author's
code differs from it, and changing one shows its effect.
"""

from itertools import pairwise
from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from asdlib.errors import one_of
from asdlib.settings import Settings

SAMPLE_RATE = 16_000  # Hz, section IV-A; every corpus here is recorded at it

# of asdlib.inliers; "centroid" is DDCSAD's. Named here since training must not depend on them.
Inlier = Literal["GMM", "LOF", "kNN", "Mahalanobis", "none", "output", "centroid"]
PAPER_INLIERS = ("GMM", "LOF")  # what "auto" chooses from; the others are references
# Beyond their bounds numbers overflow, or a network fills any memory.
Share = Annotated[float, Field(gt=0, le=0.5)]
Positive = Annotated[float, Field(gt=0, le=1e6)]
NotNegative = Annotated[float, Field(ge=0, le=1e6)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Seconds = Annotated[float, Field(gt=0, le=600)]
Segments = Annotated[int, Field(ge=1, le=1000)]
T = TypeVar("T")
Several = Annotated[tuple[T, ...], Field(min_length=1)]


class Profile(Settings):
    """All hyperparameters of a run; the defaults are the paper's, or our reading of it."""

    # log-mel (section IV-A)
    segment_seconds: Seconds = 2.0  # T of Eq. 4, and the length of a training crop
    window_seconds: Positive = 0.128
    hop_seconds: Annotated[float, Field(ge=1 / SAMPLE_RATE)] = 0.016  # at least one sample
    mel_bins: Count = 224
    mel_low_hz: NotNegative = 50.0
    mel_high_hz: Annotated[float, Field(gt=0, le=SAMPLE_RATE / 2)] = 7800.0
    # encoder f
    backbone: str = "tf_efficientnet_b0.ns_jft_in1k"
    embedding_size: Count = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    # losses and Mixup
    product_weight: NotNegative = 10.0  # lambda of Eq. 3; 0 switches L_product off
    machine_weight: NotNegative = 1.0  # 0 switches L_machine off; see keep_others
    mixup_alpha: NotNegative = 0.2  # 0 switches Mixup off
    # optimisation
    learning_rate: Annotated[float, Field(ge=1e-9, le=10)] = 1e-3
    batch_size: Annotated[int, Field(ge=4, le=10_000)] = 128  # half target, half other machines
    epochs: Count = 300
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0
    compile: bool = False  # torch.compile the encoder: slow to begin with, then faster on CUDA
    validation_share: Share = 0.1
    validation_segments: Segments = 1  # from the start of a clip, for the validation loss
    # inlier model h and aggregator A (Eq. 4)
    segments: Segments = 10  # S
    inlier: Literal[Inlier, "auto"] = "auto"  # "auto": GMM or LOF, by the validation IDs
    inliers: Several[Inlier] = ("GMM", "LOF", "kNN", "Mahalanobis", "none")  # all that are tried
    inlier_size: Annotated[int, Field(ge=0, le=10_000)] = 0  # p; 0: the best on the validation IDs
    inlier_part: Literal["validation", "train"] = "validation"  # h is fitted on the 10 %, or on all
    inlier_sizes: Several[Count] = (1, 2, 4, 8, 16, 32, 64)  # the candidates for p
    covariance: Literal["full", "diag"] = "full"
    covariance_floor: NotNegative = 1e-6  # added to a GMM's variances
    # what somebody has of a machine: the study prepares it (asdstudy.systems.task)
    train_clips: Annotated[int, Field(ge=0, le=10_000)] = 0  # of a product ID; 0: all of them
    contamination: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # share of anomalies among them
    # switches: our reading of the paper, or the closest to it, is the default
    # of the clips that are trained on and tested; the paper: "the same domain"
    domain: Literal["source", "target", "both"] = "source"
    pretrained: bool = True
    # a file to start from, whatever pretrained says: the study loads it (asdstudy.systems.weights)
    weights: str = ""
    log_mel: bool = True
    mel_power: Annotated[float, Field(gt=0, le=4)] = 2.0  # 2: power, 1: magnitude
    log_floor: Positive = 1e-6  # added before the logarithm; the amplitude has variance 1
    normalisation: Literal["target", "own"] = "target"  # whose statistics scale the other machines
    product_bias: bool = False  # g_product of Eq. 1 is linear; True gives it a bias
    machine_input: Literal["norm", "mean-square", "embedding"] = "norm"  # of g_affine, Eq. 2
    # the sign of g_affine's slope at the start; see encoder.start_slope
    machine_slope: Literal["positive", "negative", "random"] = "positive"
    # where g_affine's offset starts: the median logit of the first batch at 0, or the layer's own
    machine_start: Literal["centred", "layer"] = "centred"
    # whether other machines are in the batches even without L_machine: for BatchNorm and Mixup
    keep_others: bool = False
    # which mixed rows count in Eq. 1
    product_rows: Literal["weighted", "included", "all", "all-when-mixed"] = "weighted"
    mixup_schedule: Literal["rising", "falling", "always"] = "rising"
    # A: upper-half mean for GMM, mean for the others
    aggregation: Literal["paper", "mean", "upper-half", "lower-half", "max"] = "paper"

    @model_validator(mode="after")
    def _consistent(self) -> "Profile":
        """Refuse now what would fail later."""
        lengths = ("hop_seconds", "window_seconds", "segment_seconds")
        for least, name in pairwise(lengths):
            value, bound = getattr(self, name), getattr(self, least)
            if value < bound:
                raise ValueError(f"{name} is {value}; expected at least {least}, {bound}")
        low, high = self.mel_low_hz, self.mel_high_hz
        if low >= high:
            raise ValueError(f"mel_low_hz is {low}; expected less than mel_high_hz, {high}")
        step = SAMPLE_RATE / round(self.window_seconds * SAMPLE_RATE)
        if (low // step + 1) * step >= high:
            raise ValueError(
                f"mel_low_hz is {low} and mel_high_hz {high}: the spectrum has a value every "
                f"{step:g} Hz; expected one between them"
            )
        if self.batch_size % 2:
            raise ValueError(f"batch_size is {self.batch_size}; expected an even number")
        if self.product_weight == self.machine_weight == 0:
            raise ValueError(
                "product_weight and machine_weight are both 0: nothing to train on; "
                "expected one of them above 0"
            )
        if self.inlier != "auto":
            one_of("inlier", self.inlier, self.inliers)
        elif not self.candidates:
            raise ValueError(
                f"inlier is auto and inliers are {', '.join(self.inliers)}; expected "
                f"{' or '.join(PAPER_INLIERS)} among them, or the name of one as inlier"
            )
        if self.product_weight == 0 and (self.inlier == "none" or set(self.inliers) == {"none"}):
            raise ValueError(
                "inlier is none and product_weight is 0: an untrained g_product has no probability "
                "to score with; expected another inlier"
            )
        return self

    @property
    def candidates(self) -> tuple[Inlier, ...]:
        """The inlier models that may be chosen: the one that is named, or the paper's two."""
        names = PAPER_INLIERS if self.inlier == "auto" else (self.inlier,)
        return tuple(name for name in names if name in self.inliers)

    @property
    def needs_others(self) -> bool:
        """Whether other machine types are in the batches: Eq. 2 needs them, or they are kept."""
        return self.machine_weight > 0 or self.keep_others

    @property
    def from_scratch(self) -> "Profile":
        """The same with ``pretrained`` off, for a network whose weights are loaded afterwards."""
        return self.replace(pretrained=False)

    @property
    def segment_frames(self) -> int:
        """Samples in a segment: ``segment_seconds`` at 16 kHz."""
        return round(self.segment_seconds * SAMPLE_RATE)

    @property
    def target_rows(self) -> int:
        """Target clips in a batch: half of it, so that t is 1:1 (section III)."""
        return self.batch_size // 2

    def to_dict(self) -> dict:
        """The fields as plain values, for ``params.json``; ``Profile(**values)`` reads them.

        A field that was added later is left out while it has its default, so that a run keeps the
        name that it had before.
        """
        fields = type(self).model_fields
        younger = ("domain", "train_clips", "contamination")
        omitted = {name for name in younger if getattr(self, name) == fields[name].default}
        return self.model_dump(mode="json", exclude=omitted)


# Table I; a machine type that is not in it keeps the defaults above.
_SMALL_BATCH = dict(batch_size=32, product_weight=0.1)
TABLE_I = {
    "fan": dict(_SMALL_BATCH, learning_rate=1e-3, inlier="GMM", inlier_size=16),
    "gearbox": dict(inlier="GMM", inlier_size=64),
    "pump": dict(inlier="GMM", inlier_size=2),
    "valve": dict(learning_rate=5e-4, inlier="GMM", inlier_size=32),
    "slider": dict(inlier="GMM", inlier_size=2),
    "ToyCar": dict(inlier="LOF", inlier_size=16),
    "ToyTrain": dict(_SMALL_BATCH, learning_rate=5e-4, inlier="LOF", inlier_size=8),
}

PAPER = Profile()
# For two CPU cores. The backbone is the one of six small ones that learnt most in half a minute, on
# the uav recordings. Everything else that differs from the paper's is a reference that trials on
# validation IDs started from, or what they adopted (the chapter on trials; workflow/evidence.py).
QUICK = Profile(
    segment_seconds=1.0,
    hop_seconds=0.032,
    mel_bins=64,
    backbone="test_efficientnet",
    pretrained=False,
    product_weight=3.0,
    learning_rate=5e-3,
    batch_size=32,
    epochs=100,
    inlier_part="train",
    inlier_sizes=(1, 2, 4, 8),
)
PROFILES = {"paper": PAPER, "quick": QUICK}
