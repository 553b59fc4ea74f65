"""What can be chosen when a corpus is made: of simulated machines, own recordings, or flights."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt

from asdlib.settings import Settings
from asdstudy.data.inputs import seed_of

Seed = Annotated[int, BeforeValidator(seed_of)]
Dial = Annotated[float, Field(ge=0, le=1)]
Portion = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=0, le=10_000)]
Change = Literal["speed", "load", "noise", "microphone"]
Length = Annotated[float | None, Field(le=86_400)]  # seconds


class Simulation(Settings):
    """A corpus of simulated machines."""

    seed: Seed = Field(0, description="random seed")
    product_similarity: Dial = Field(0.2, description="how alike product IDs are, 0 to 1")
    machine_similarity: Dial = Field(0.2, description="how alike machine types are, 0 to 1")
    severity: Dial = Field(0.8, description="how bad faults are on average, 0 to 1")
    snr_db: float = Field(
        8.0, ge=-60, le=60, description="level of the machine over the noise, in dB"
    )
    clip_seconds: float = Field(
        3.0, ge=0.5, le=60, description="length of a clip in seconds, 0.5 to 60"
    )
    train_clips: Count = Field(20, description="normal training clips of each product ID")
    test_clips: Count = Field(20, description="test clips of each label and product ID")
    products: int = Field(6, ge=1, le=99, description="product IDs of each machine type")
    target_train_clips: Count = Field(
        0, description="training clips of each product ID in the target domain"
    )
    target_test_clips: Count = Field(
        0, description="test clips of each label and product ID in the target domain"
    )
    target_changes: tuple[Change, ...] = Field(
        ("speed", "load", "noise", "microphone"),
        min_length=1,
        description="what differs in the target domain",
    )


class Conversion(Settings):
    """What may be done to a recording: nothing is converted without its option."""

    resample: bool = Field(False, description="convert to 16 kHz from any other rate")
    channel: str | None = Field(None, description="which channel to use: 0, 1, ... or mean")


class Adoption(Conversion):
    """How one's own recordings become a corpus."""

    cut_seconds: float | None = Field(
        None, gt=0.01, le=3600, description="cut recordings into clips of this many seconds"
    )
    test_share: Portion = Field(
        0.2, description="share of each product's normal recordings kept for testing"
    )
    seed: Seed = Field(0, description="random seed of the split")


class Windows(Conversion):
    """How a new recording is scored."""

    window_seconds: Length = Field(None, description="length of a window in seconds")
    hop_seconds: Length = Field(
        None, ge=0.001, description="seconds from one window to the next; by default its length"
    )


class Recipe(Settings):
    """How clips are made from the flights of a drone; the defaults are those of the book."""

    seed: Seed = Field(0, description="random seed of the split and the noise")
    broken: tuple[PositiveInt, ...] = Field(
        (1,), description="numbers of broken propellers, such as 1,3"
    )
    trim_seconds: float = Field(
        10.0, ge=0, le=3600, description="seconds to leave out at each end of a flight"
    )
    clip_seconds: float = Field(10.0, gt=0.01, le=3600, description="length of a clip in seconds")
    snr_db: float = Field(
        -3.0, ge=-60, le=60, description="level of the flight over the noise, in dB"
    )
    rms: float = Field(0.05, ge=0.001, le=1, description="RMS of every clip, where full scale is 1")
    test_share: Portion = Field(
        0.2, description="share of each pattern's normal flights kept for testing"
    )
