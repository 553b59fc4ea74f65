"""The drone recordings of the chapter "Real recordings", fetched and cut to a corpus.

``python -m asdstudy.data fetch uav`` takes the public UAV Propeller Anomaly Audio Dataset (Katta
et al., ICASSP 2022) from GitHub: flights of one drone with intact or broken propellers, from
take-off to landing. A product ID is a flight pattern. GitHub publishes no checksums of archives, so
``source.json`` keeps the commit and the SHA-256 of what came.
"""

import io
import json
import re
import threading
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pooch
import soundfile
from filelock import FileLock
from tqdm import tqdm

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdlib.waves import check_room
from asdstudy import paths
from asdstudy.data.downloads import BROKEN, Share, WrongArchive, download, open_zip
from asdstudy.data.recordings import ClipWriter, cuts, hold_out, link, links_beside
from asdstudy.data.simulate import factory_noise
from asdstudy.paths import whole_folder

GITHUB = "https://github.com"
REPOSITORY = "tiiuae/UAV-Propeller-Anomaly-Audio-Dataset"
REVISION = "e2aca4d69010f12bfb18df7149d8db04a98856b3"  # a commit that holds all its recordings
MACHINE_TYPE = "uav"
ROOM = 1.5e9  # bytes: the archive has 0.6 GB, and the clips are a part of it
RECORDING = re.compile(
    r"[^/]+/Dataset/(?:normal|(?:\d(?:_\d)*_broken/)+(?P<broken>[01]{4}))"
    r"/(?P<pattern>\w+)/(?P<flight>\d+)/ch1\.wav"
)
EXPECTED = "<top>/Dataset/<normal|k_broken/<0|1 for each propeller>>/<pattern>/<n>/ch1.wav"


@dataclass(frozen=True)
class Recipe:
    """How clips are made from flights; the defaults are those of the book."""

    seed: int = 0  # of the split and the noise
    broken: tuple[int, ...] = (1,)  # how many broken propellers the anomalous flights have
    trim_seconds: float = 10.0  # left out at both ends: take-off and landing
    clip_seconds: float = 10.0
    snr_db: float = -3.0  # RMS of the flight over that of the noise, in dB
    rms: float = 0.05  # of every clip, full scale is 1: loudness says nothing of a fault
    test_share: float = 0.2  # of the normal flights of a pattern


@dataclass(frozen=True)
class Flight:
    """A recording in the archive: ``pattern`` as in "ccw-f8", ``broken`` as in "0100" or ""."""

    member: str
    pattern: str
    broken: str
    number: int


def fetch_uav(
    folder=None,
    recipe: Recipe = Recipe(),
    beside: Sequence[Path] = (),
    server: str = GITHUB,
    revision: str = REVISION,
    retries: int = 3,
    keep_zip: bool = False,
    progress: bool = True,
) -> Path:
    """Download the recordings and make ``<folder>/uav`` (``data/uav/uav``); returns ``folder``.

    ``beside`` are folders of other machine types, linked into the corpus. The clips of a flight
    are all in train or all in test, and every clip has noise of its own. A corpus that is there
    already is kept. Raises :class:`InputError` where it was made otherwise, where the archive
    cannot be had or is of another commit, and for a recording in it that cannot be used.
    """
    folder = Path(folder or paths.data_dir("uav"))
    asked = {"repository": REPOSITORY, "revision": revision}
    asked |= {"recipe": json.loads(json.dumps(asdict(recipe)))}
    links = links_beside(folder, beside)
    (folder / ".fetch").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".fetch" / "lock"):
        if not _is_there(folder / MACHINE_TYPE, asked):
            check_room(folder, ROOM, "the archive with its clips")
            url = f"{server.rstrip('/')}/{REPOSITORY}/archive/{revision}.zip"
            path = folder / ".fetch" / f"{revision.replace('/', '-')}.zip"
            with tqdm(unit="B", unit_scale=True, mininterval=1, disable=not progress) as bar:
                download(url, path, None, retries, Share(bar, threading.Event()))
            try:
                commit = _make(path, folder / MACHINE_TYPE, recipe, asked | {"url": url}, progress)
            except WrongArchive:
                path.unlink()  # or it would be taken for whole the next time
                raise
            except BROKEN as error:
                path.unlink()
                raise InputError(f"{url}: a broken zip came ({error}); fetch again") from error
            if not keep_zip:
                path.unlink()
            if commit is None:
                warnings.warn(f"{url} does not say of which commit it is", stacklevel=2)
        link(links)
    return folder


def _is_there(folder: Path, asked: dict) -> bool:
    """Whether the corpus is there and was made as asked."""
    if not folder.exists():
        return False
    source = folder / "source.json"
    there = json.loads(source.read_text()) if source.exists() else {}
    if any(there.get(key) != value for key, value in asked.items()):
        made = {key: there.get(key) for key in asked}
        raise InputError(
            f"{folder}: is there and was made otherwise ({made}); expected {asked}: "
            "choose another folder or remove this one"
        )
    return True


def _make(path: Path, folder: Path, recipe: Recipe, asked: dict, progress: bool) -> str | None:
    """Cut all flights of the archive; returns the commit that it says it is of, if it does."""
    with open_zip(path) as content:
        commit = _commit(content, asked)
        flights = list(_flights(content, path))
        patterns = sorted({flight.pattern for flight in flights})
        held_out = _held_out(flights, patterns, recipe, path)
        short = []
        with whole_folder(folder) as part:
            writer = ClipWriter(part)
            for flight in tqdm(flights, desc="cutting", unit="flight", disable=not progress):
                if flight.broken and flight.broken.count("1") not in recipe.broken:
                    continue
                split = "test" if flight.broken or flight.member in held_out else "train"
                clips = list(_clips(content, flight, recipe))
                short += [] if clips else [flight.member]
                for start, sound in clips:
                    writer.write(
                        sound,
                        patterns.index(flight.pattern),
                        split,
                        "anomaly" if flight.broken else "normal",
                        _attributes(flight),
                        recording=flight.member,
                        start_seconds=start / SAMPLE_RATE,
                    )
            if not writer.rows:
                raise InputError(f"{path}: no flight is long enough for a clip of {recipe}")
            writer.write_listing()
            said = {"archive_commit": commit, "archive_sha256": pooch.file_hash(str(path))}
            record = asked | said | {"patterns": patterns, "too_short": short}
            (part / "source.json").write_text(json.dumps(record, indent=1))
    if short:
        warnings.warn(f"{len(short)} flights are too short for a clip: {short}", stacklevel=3)
    return commit


def _commit(content: zipfile.ZipFile, asked: dict) -> str | None:
    """The commit in the comment of the zip, where git-archive puts it."""
    commit = content.comment.decode("ascii", "replace").strip()
    if not re.fullmatch("[0-9a-f]{40}", commit):
        return None
    revision = asked["revision"]
    if re.fullmatch("[0-9a-f]{40}", revision) and commit != revision:
        raise WrongArchive(f"{asked['url']}: is of commit {commit}; expected {revision}")
    return commit


def _flights(content: zipfile.ZipFile, path: Path) -> Iterator[Flight]:
    """The recordings of an archive, in a fixed order."""
    members = sorted(name for name in content.namelist() if name.lower().endswith(".wav"))
    if not members:
        raise InputError(f"{path}: no recordings in it; expected {EXPECTED}")
    for member in members:
        found = RECORDING.fullmatch(member)
        if found is None:
            raise InputError(f"{path}: {member} does not parse; expected {EXPECTED}")
        pattern = found["pattern"].replace("_", "-")
        yield Flight(member, pattern, found["broken"] or "", int(found["flight"]))


def _held_out(flights: list[Flight], patterns: list[str], recipe: Recipe, path: Path) -> set[str]:
    """The normal flights of every pattern that are for testing."""
    held_out = set()
    for product, pattern in enumerate(patterns):
        normal = [f.member for f in flights if f.pattern == pattern and not f.broken]
        if len(normal) < 2:
            raise InputError(
                f"{path}: {len(normal)} normal flights of {pattern}; expected at least 2"
            )
        held_out |= hold_out(
            normal, recipe.test_share, np.random.default_rng([recipe.seed, product])
        )
    return held_out


def _clips(content: zipfile.ZipFile, flight: Flight, recipe: Recipe) -> Iterator[tuple]:
    """Start and sound ``(samples,)`` of each clip of a flight: with noise, all equally loud."""
    try:
        sound, rate = soundfile.read(io.BytesIO(content.read(flight.member)), always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{content.filename}: {flight.member} is no audio ({error})") from error
    if (rate, sound.shape[1]) != (SAMPLE_RATE, 1):
        raise InputError(
            f"{content.filename}: {flight.member} has {rate} Hz and {sound.shape[1]} channels; "
            f"expected {SAMPLE_RATE} Hz and one"
        )
    below = flight.member.partition("/")[2]  # the top folder is named after the revision
    for start, end in cuts(len(sound), recipe.clip_seconds, recipe.trim_seconds):
        clip = sound[start:end, 0]
        level = np.sqrt(np.mean(clip**2))
        if not level > 0:  # NaN too
            raise InputError(f"{content.filename}: {flight.member} is silent from sample {start}")
        rng = np.random.default_rng([recipe.seed, zlib.crc32(below.encode()), start])
        noisy = 10 ** (recipe.snr_db / 20) * clip / level + factory_noise(len(clip), rng)
        yield start, recipe.rms * noisy / np.sqrt(np.mean(noisy**2))


def _attributes(flight: Flight) -> str:
    fault = f"_fault_broken-{flight.broken}" if flight.broken else ""
    return f"pattern_{flight.pattern}{fault}_flight_{flight.number}"
