"""The drone recordings of the chapter "Real recordings", fetched and cut to a corpus.

They are the public UAV Propeller Anomaly Audio Dataset (Katta et al., ICASSP 2022)
from GitHub: flights of one drone with intact or broken propellers, from take-off to landing. A
product ID is a flight pattern. GitHub publishes no checksums of archives, so ``source.json`` keeps
the commit and the SHA-256 of what came.
"""

import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pooch
from filelock import FileLock
from tqdm import tqdm

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy import paths
from asdstudy.data.downloads import BROKEN, Share, WrongArchive, download, open_zip
from asdstudy.data.inputs import check_mono, check_rate, check_samples, read_json, read_sound
from asdstudy.data.recordings import Recording, cuts, links_beside, write_recordings
from asdstudy.data.settings import Recipe
from asdstudy.data.simulate import GENERATOR, factory_noise
from asdstudy.paths import check_room, make_folder, whole_folder

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


def fetch_uav(
    folder=None,
    recipe: Recipe = Recipe(),
    beside: Sequence[Path] = (),
    server: str | None = None,
    revision: str | None = None,
    retries: int = 3,
    keep_zip: bool = False,
    progress: bool = True,
) -> Path:
    """Download the recordings and make ``<folder>/uav`` (``data/uav/uav``); returns ``folder``.

    ``server`` is GitHub and ``revision`` a complete commit by default.
    ``beside`` are folders of other machine types, linked into the corpus. The clips of a flight
    are all in train or all in test, and every clip has noise of its own. A corpus that is there
    already is kept. Raises :class:`InputError` if it was made otherwise, if the archive cannot be
    fetched or is of another commit, and for a recording in it that cannot be used.
    """
    folder, revision = paths.chosen(folder, paths.data_dir("uav")), revision or REVISION
    wanted = {"repository": REPOSITORY, "revision": revision, "generator": GENERATOR}
    wanted["recipe"] = recipe.model_dump(mode="json")
    url = f"{(server or GITHUB).rstrip('/')}/{REPOSITORY}/archive/{quote(revision)}.zip"
    links = links_beside(folder, beside)
    make_folder(folder / ".fetch")
    with FileLock(folder / ".fetch" / "lock"):
        if not _is_there(folder / MACHINE_TYPE, wanted):
            check_room(folder, ROOM, "the archive with its clips")
            path = folder / ".fetch" / f"{quote(revision, safe='')}.zip"
            with tqdm(unit="B", unit_scale=True, mininterval=1, disable=not progress) as bar:
                download(url, path, None, retries, Share(bar))
            try:
                _make(path, folder / MACHINE_TYPE, recipe, wanted | {"url": url}, progress)
            except (WrongArchive, *BROKEN) as error:
                path.unlink()  # or it would be taken for whole the next time
                raise InputError(f"{url}: a wrong or broken zip came: {error}") from error
            if not keep_zip:
                path.unlink()
        for place, other in links.items():
            place.symlink_to(other, target_is_directory=True)
    return folder


def _is_there(folder: Path, wanted: dict) -> bool:
    """Whether the corpus is there, made as is wanted."""
    if not folder.exists():
        return False
    source = folder / "source.json"
    record = read_json(source) if source.exists() else {}
    made = {key: record.get(key) for key in wanted}
    if made != wanted:
        raise InputError(
            f"{folder}: is there and was made otherwise ({made}); expected {wanted}: "
            "choose another folder or remove this one"
        )
    return True


def _make(path: Path, folder: Path, recipe: Recipe, source: dict, progress: bool) -> None:
    """Cut the flights of the archive to a machine type."""
    with open_zip(path) as content:
        commit = _commit(content, source)
        flights = list(_flights(content, path, recipe))
        clips_of = partial(_clips, content, recipe)
        with whole_folder(folder) as part:
            listing = write_recordings(part, flights, clips_of, recipe, path, progress)
            if listing.empty:
                raise InputError(f"{path}: no flight is long enough for a clip of {recipe}")
            too_short = sorted({flight.name for flight in flights} - set(listing.recording))
            patterns = sorted({flight.product for flight in flights})
            source |= {"archive_commit": commit, "archive_sha256": pooch.file_hash(str(path))}
            source |= {"patterns": patterns, "too_short": too_short}
            (part / "source.json").write_text(json.dumps(source, indent=1))
    if commit is None:
        warnings.warn(f"{source['url']} does not say of which commit it is", stacklevel=3)
    if too_short:
        what = f"{len(too_short)} flights are too short for a clip: {too_short}"
        warnings.warn(what, stacklevel=3)


def _commit(content: zipfile.ZipFile, source: dict) -> str | None:
    """The commit in the comment of the zip, where git-archive puts it."""
    commit = content.comment.decode("ascii", "replace").strip()
    if not re.fullmatch("[0-9a-f]{40}", commit):
        return None
    revision = source["revision"]
    if re.fullmatch("[0-9a-f]{40}", revision) and commit != revision:
        raise WrongArchive(f"{source['url']}: is of commit {commit}; expected {revision}")
    return commit


def _flights(content: zipfile.ZipFile, path: Path, recipe: Recipe) -> Iterator[Recording]:
    """The recordings of an archive that the recipe takes, in a fixed order."""
    members = sorted(name for name in content.namelist() if name.lower().endswith(".wav"))
    if not members:
        raise InputError(f"{path}: no recordings in it; expected {EXPECTED}")
    for member in members:
        match = RECORDING.fullmatch(member)
        if match is None:
            raise InputError(f"{path}: {member} does not parse; expected {EXPECTED}")
        pattern, broken = match["pattern"].replace("_", "-"), match["broken"]
        if broken is None:
            yield Recording(pattern, "normal", member)
        elif broken.count("1") in recipe.broken:
            yield Recording(pattern, "anomaly", member)


def _clips(content: zipfile.ZipFile, recipe: Recipe, flight: Recording) -> Iterator[tuple]:
    """Sound, ``(samples,)``, attributes and origin of the clips: with noise, all equally loud."""
    name = f"{content.filename}: {flight.name}"
    sound, rate = read_sound(name, content.read(flight.name))
    check_rate(name, rate)
    check_mono(name, sound.shape[1])
    match = RECORDING.fullmatch(flight.name)
    fault = f"_fault_broken-{match['broken']}" if match["broken"] else ""
    attributes = f"pattern_{flight.product}{fault}_flight_{int(match['flight'])}"
    below = flight.name.partition("/")[2]  # the top folder is named after the revision
    for start, end in cuts(len(sound), recipe.clip_seconds, recipe.trim_seconds):
        clip = sound[start:end, 0]
        level = np.sqrt(np.mean(clip**2))
        if not level > 0:  # NaN too
            raise InputError(f"{content.filename}: {flight.name} is silent from sample {start}")
        rng = np.random.default_rng([recipe.seed, zlib.crc32(below.encode()), start])
        noisy = 10 ** (recipe.snr_db / 20) * clip / level + factory_noise(len(clip), rng)
        noisy *= recipe.rms / np.sqrt(np.mean(noisy**2))
        check_samples(f"{name} with noise at an RMS of {recipe.rms:g}", noisy)
        yield noisy, attributes, {"start_seconds": start / SAMPLE_RATE}
