"""What can be chosen when a corpus is made: of simulated machines, own recordings, or flights."""

from pydantic import Field, PositiveInt, field_validator

from asdlib.settings import Settings


class Simulation(Settings):
    """A corpus of simulated machines; the dials are the two similarities."""

    seed: int = Field(0, ge=0, lt=2**63, description="random seed")
    product_similarity: float = Field(
        0.2, ge=0, le=1, description="how alike a type's product IDs are, 0 to 1"
    )
    machine_similarity: float = Field(
        0.2, ge=0, le=1, description="how alike the machine types are, 0 to 1"
    )
    severity: float = Field(0.8, ge=0, le=1, description="how bad faults are on average, 0 to 1")
    snr_db: float = Field(
        8.0, ge=-60, le=60, description="RMS of the machine over that of the noise, in dB"
    )
    clip_seconds: float = Field(
        3.0, ge=0.5, le=60, description="length of a clip in seconds, 0.5 to 60"
    )
    train_clips: int = Field(
        50, ge=0, le=10_000, description="normal training clips of a product ID"
    )
    test_clips: int = Field(
        40, ge=0, le=10_000, description="normal, and as many anomalous, test clips of one"
    )
    products: int = Field(6, ge=1, le=99, description="product IDs of a machine type")


class Adoption(Settings):
    """What is done to one's own recordings: nothing is converted unless it is asked for."""

    resample: bool = Field(False, description="to 16 kHz, whatever the rate")
    channel: str | None = Field(
        None, description="which one to take, 0 being the first, or their mean"
    )
    cut_seconds: float | None = Field(
        None, gt=0, description="length of the clips to cut; a shorter rest at the end is left out"
    )
    test_share: float = Field(
        0.2, ge=0, lt=1, description="of the normal recordings of each product, for testing"
    )
    seed: int = Field(0, ge=0, description="of the split")


class Recipe(Settings):
    """How clips are made from the flights of a drone; the defaults are those of the book."""

    seed: int = Field(0, ge=0, description="of split and noise")
    broken: tuple[PositiveInt, ...] = Field(
        (1,), description="how many broken propellers the anomalous flights have, as in 1,2"
    )
    trim_seconds: float = Field(
        10.0, ge=0, description="left out at both ends of a flight, take-off and landing"
    )
    clip_seconds: float = Field(10.0, gt=0, description="length of a clip")
    snr_db: float = Field(-3.0, description="RMS of the flight over that of the noise, in dB")
    rms: float = Field(0.05, gt=0, le=1, description="of every clip, where full scale is 1")
    test_share: float = Field(
        0.2, ge=0, lt=1, description="of the normal flights of a pattern, for testing"
    )

    @field_validator("broken", mode="before")
    @classmethod
    def _numbers(cls, value):
        return value.split(",") if isinstance(value, str) else value
