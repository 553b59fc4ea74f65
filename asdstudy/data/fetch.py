"""Fetch the paper's data, DCASE 2021 Task 2, from Zenodo: checked, unpacked, in one tree.

``asd fetch dcase2021``, or :func:`fetch` in a notebook. A zip is the unit of a
restart: one that was unpacked whole is noted in ``<folder>/.fetch/`` and never fetched again.
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urljoin

import requests
from filelock import FileLock

from asdlib.errors import InputError, one_of
from asdlib.waves import check_room, gigabytes
from asdstudy import paths
from asdstudy.data.downloads import (
    Share,
    ask,
    download,
    extract,
    open_zip,
    side_by_side,
)
from asdstudy.data.machines import MACHINE_TYPES

ZENODO = "https://zenodo.org"
RECORDS = {  # Zenodo record: its zip of a machine type
    "4562016": "dev_data_{}.zip",  # sections 00-02, train and test
    "4660992": "eval_data_{}_train.zip",  # sections 03-05, train
    "4884786": "eval_data_{}_test.zip",  # sections 03-05, test, without labels
}
GROUND_TRUTH = "5257674"  # their labels
CLIPS = (".wav", ".flac", ".csv")
UNPACKED = 1.5  # bytes of clips in a byte of zip, for the first estimate: noise hardly shrinks


@dataclass(frozen=True)
class Archive:
    """A zip of a record: ``size`` in bytes, ``checksum`` as in "md5:...", and what it is to be."""

    key: str  # its note is .fetch/<key>.json
    url: str
    checksum: str
    size: int
    machine_type: str | None  # None: the ground truth


def fetch(
    folder=None,
    machine_types: Sequence[str] = MACHINE_TYPES,
    server: str | None = None,
    workers: int = 4,
    retries: int = 3,
    keep_zips: bool = False,
    progress: bool = True,
) -> Path:
    """Download, check and unpack the corpus into ``folder`` (``data/dcase2021``); returns it.

    ``workers`` zips are fetched side by side, each tried ``retries`` times more. ``server``, Zenodo
    unless named, answers ``/api/records/<record>`` with addresses, sizes and checksums.
    Raises :class:`InputError` where a record cannot be read, lacks a file or the disk has no room
    for it, and, when all others are done, for zips that could not be had.
    """
    folder = Path(folder or paths.data_dir("dcase2021"))
    for machine_type in machine_types:
        one_of("machine type of DCASE 2021", machine_type, MACHINE_TYPES)
    wanted = {
        template.format(machine_type).removesuffix(".zip"): (record, machine_type)
        for record, template in RECORDS.items()
        for machine_type in machine_types
    }
    wanted["ground_truth"] = (GROUND_TRUTH, None)
    (folder / ".fetch").mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".fetch" / "lock"):  # who fetches the same at the same time waits
        missing = {key: value for key, value in wanted.items() if not _is_done(folder, key)}
        if missing:
            server = server or ZENODO
            _fetch_missing(missing, folder, server, workers, retries, keep_zips, progress)
    return folder


def _fetch_missing(missing: dict, folder, server, workers, retries, keep_zips, progress) -> None:
    records = {record: read_record(server, record, retries) for record, _ in missing.values()}
    archives = [_archive(key, kind, *records[record]) for key, (record, kind) in missing.items()]
    sizes = sorted(archive.size for archive in archives)
    clips, zips = UNPACKED * sum(sizes), sum(sizes if keep_zips else sizes[-workers:])
    what = f"fetching {len(sizes)} zips of together {gigabytes(sum(sizes))}, and unpacking them,"
    check_room(folder, clips + zips, what)
    jobs = {archive.key: partial(_get, archive, folder, retries, keep_zips) for archive in archives}
    side_by_side(jobs, sum(sizes), workers, progress)


def read_record(server: str, record: str, retries: int = 3) -> tuple[str, dict[str, dict]]:
    """The address of a record of Zenodo's API, and its files by name: url, checksum, size."""
    address = f"{server.rstrip('/')}/api/records/{record}"
    try:
        answer = ask(address, retries)
        files = {
            file["key"]: {"url": urljoin(address, file["links"]["self"])}
            | {"checksum": file["checksum"], "size": int(file["size"])}
            for file in answer.json()["files"]
        }
    except requests.exceptions.JSONDecodeError as error:
        raise InputError(f"{address}: no JSON; expected a record of Zenodo") from error
    except requests.RequestException as error:
        raise InputError(
            f"{address}: the record cannot be reached ({type(error).__name__}: {error}); expected "
            "an internet connection, or a mirror of Zenodo as the server"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{address}: not understood ({type(error).__name__}: {error}); expected a record of "
            "Zenodo with files, each with key, checksum, size and links.self"
        ) from error
    return address, files


def _archive(key: str, machine_type: str | None, address: str, files: dict) -> Archive:
    name = f"{key}.zip"
    if machine_type is None:  # the only zip of its record has the name of a release
        name = next((file for file in files if file.endswith(".zip")), name)
    if name not in files:
        raise InputError(f"{address}: no file {name}; it holds {sorted(files)}")
    return Archive(key, machine_type=machine_type, **files[name])


def _get(archive: Archive, folder: Path, retries: int, keep: bool, share: Share) -> None:
    """Fetch and unpack one zip, and note what came out of it."""
    path = download(
        archive.url, folder / ".fetch" / f"{archive.key}.zip", archive.checksum, retries, share
    )
    with open_zip(path) as content:
        chosen = dict(_chosen(content, archive.machine_type))
        if not chosen:
            what = f"{archive.machine_type}/" if archive.machine_type else "ground_truth_data/"
            raise InputError(f"{archive.url}: nothing below a folder {what} in it")
        clips = sum(member.file_size for member in chosen.values())
        check_room(folder, clips, f"unpacking {archive.url}")
        for place, member in chosen.items():
            share.go_on()
            extract(content, member, folder / place)
    files = {str(place): member.file_size for place, member in chosen.items()}
    note = {"url": archive.url, "checksum": archive.checksum, "files": files}
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps(note))
    part.replace(_note(folder, archive.key))
    if not keep:
        path.unlink()


def _note(folder: Path, key: str) -> Path:
    return folder / ".fetch" / f"{key}.json"


def _is_done(folder: Path, key: str) -> bool:
    """Whether everything that was unpacked from a zip is still there."""
    if not _note(folder, key).exists():
        return False
    files = json.loads(_note(folder, key).read_text())["files"]
    return all(
        (folder / place).is_file() and (folder / place).stat().st_size == size
        for place, size in files.items()
    )


def _chosen(content: zipfile.ZipFile, machine_type: str | None) -> Iterator[tuple]:
    """What of a zip is wanted, and where: ``<machine type>/...``, or ``ground_truth/*.csv``."""
    for member in content.infolist():
        path = Path(member.filename)
        if member.is_dir() or path.name.startswith(".") or path.suffix.lower() not in CLIPS:
            continue
        if machine_type is None:
            if path.parent.name == "ground_truth_data":
                yield Path("ground_truth") / path.name, member
        elif machine_type in path.parts[:-1]:
            yield Path(*path.parts[path.parts.index(machine_type) :]), member
