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
    snr_db: float = Field(8.0, ge=-60, le=60, description="RMS of machine over that of noise, dB")
    clip_seconds: float = Field(3.0, ge=0.5, le=60, description="length of a clip, 0.5 to 60")
    train_clips: Count = Field(20, description="normal training clips of a product ID")
    test_clips: Count = Field(20, description="normal, and as many anomalous, test clips of one")
    products: int = Field(6, ge=1, le=99, description="product IDs of a machine type")
    target_train_clips: Count = Field(0, description="train clips of one in the target domain")
    target_test_clips: Count = Field(0, description="test clips of each label in it")
    target_changes: tuple[Change, ...] = Field(
        ("speed", "load", "noise", "microphone"), min_length=1, description="what is other in it"
    )


class Conversion(Settings):
    """What may be done to a recording: nothing is converted without its option."""

    resample: bool = Field(False, description="to 16 kHz, whatever the rate")
    channel: str | None = Field(None, description="which one, 0 being the first, or their mean")


class Adoption(Conversion):
    """How one's own recordings become a corpus."""

    cut_seconds: float | None = Field(
        None, gt=0.01, le=3600, description="cut to clips of this length"
    )
    test_share: Portion = Field(0.2, description="of each product's normal recordings, for testing")
    seed: Seed = Field(0, description="of the split")


class Windows(Conversion):
    """How a new recording is scored."""

    window_seconds: Length = Field(None, description="seconds; see above")
    hop_seconds: Length = Field(
        None, ge=0.001, description="seconds to the next window; its length unless given"
    )


class Recipe(Settings):
    """How clips are made from the flights of a drone; the defaults are those of the book."""

    seed: Seed = Field(0, description="of split and noise")
    broken: tuple[PositiveInt, ...] = Field((1,), description="how many propellers, as in 1,3")
    trim_seconds: float = Field(
        10.0, ge=0, le=3600, description="left out at both ends of a flight"
    )
    clip_seconds: float = Field(10.0, gt=0.01, le=3600, description="length of a clip")
    snr_db: float = Field(-3.0, ge=-60, le=60, description="RMS of flight over that of noise, dB")
    rms: float = Field(0.05, ge=0.001, le=1, description="of every clip, where full scale is 1")
    test_share: Portion = Field(0.2, description="of each pattern's normal flights, for testing")
