"""Fetch the paper's data, DCASE 2021 Task 2, from Zenodo: checked, unpacked, in one tree.

A zip is the unit of a restart: one that was unpacked whole is noted in ``<folder>/.fetch/`` and
never fetched again.
"""

import json
import os
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin

import requests
from filelock import FileLock

from asdlib.errors import InputError, one_of
from asdstudy import paths
from asdstudy.data.downloads import Share, ask, download, extract, open_zip, side_by_side
from asdstudy.data.inputs import CLIPS, read_json
from asdstudy.data.machines import MACHINE_TYPES
from asdstudy.paths import check_room, gigabytes, make_folder, making

ZENODO = "https://zenodo.org"
RECORDS = {  # Zenodo record: its zip of a machine type
    "4562016": "dev_data_{}",  # sections 00-02, train and test
    "4660992": "eval_data_{}_train",  # sections 03-05, train
    "4884786": "eval_data_{}_test",  # sections 03-05, test, without labels
}
GROUND_TRUTH = "5257674"  # their labels
WANTED = CLIPS | {".csv"}
UNPACKED = 1.5  # bytes of clips in a byte of zip, for the first estimate: noise hardly shrinks


class Archive(NamedTuple):
    """A zip, noted in ``.fetch/<name>.json`` when it is unpacked."""

    record: str
    name: str
    machine_type: str | None  # None: the ground truth

    def note(self, folder: Path) -> Path:
        """Where it is noted."""
        return folder / ".fetch" / f"{self.name}.json"


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

    Fetches ``workers`` zips side by side, each with up to ``retries`` new tries. ``server``, by
    default Zenodo, answers ``/api/records/<record>`` with addresses, sizes and checksums.
    Raises :class:`InputError` if a record cannot be read or lacks a file, or the disk is too small,
    and, when all others are done, for the zips that failed.
    """
    folder = paths.chosen(folder, paths.data_dir("dcase2021"))
    for machine_type in machine_types:
        one_of("machine type of DCASE 2021", machine_type, MACHINE_TYPES)
    archives = [
        Archive(record, name.format(machine_type), machine_type)
        for record, name in RECORDS.items()
        for machine_type in machine_types
    ]
    archives.append(Archive(GROUND_TRUTH, "ground_truth", None))
    taken = [folder / name for name in machine_types if os.path.lexists(folder / name)]
    if taken and not os.path.isdir(folder / ".fetch"):  # nothing was ever fetched into it
        raise InputError(f"{taken[0]}: is there already; expected a new folder, or a fetched one")
    make_folder(folder / ".fetch")
    # another process that fetches the same waits
    with making(folder), FileLock(folder / ".fetch" / "lock"):
        missing = [archive for archive in archives if not _is_done(folder, archive)]
        if missing:
            files = _files(missing, (server or ZENODO).rstrip("/"), retries)
            sizes = sorted(file["size"] for file in files.values())
            total, zips = sum(sizes), sum(sizes if keep_zips else sizes[-workers:])
            what = f"fetching {len(sizes)} zips of together {gigabytes(total)}, and unpacking them,"
            check_room(folder, UNPACKED * total + zips, what)
            jobs = {
                archive.name: partial(_get, archive, file, folder, retries, keep_zips)
                for archive, file in files.items()
            }
            side_by_side(jobs, total, workers, progress)
    return folder


def _files(archives: Sequence[Archive], server: str, retries: int) -> dict[Archive, dict]:
    """The url, checksum and size of each archive, from Zenodo's records."""
    addresses = {archive.record: f"{server}/api/records/{archive.record}" for archive in archives}
    records = {record: read_record(url, retries) for record, url in addresses.items()}
    files = {}
    for archive in archives:
        record, name = records[archive.record], f"{archive.name}.zip"
        if archive.machine_type is None:  # the only zip of its record has the name of a release
            name = next((file for file in record if file.endswith(".zip")), name)
        if name not in record:
            address = addresses[archive.record]
            raise InputError(f"{address}: no file {name}; it holds {sorted(record)}")
        files[archive] = record[name]
    return files


def read_record(address: str, retries: int = 3) -> dict[str, dict]:
    """The files of a record of Zenodo's API, by name: url, checksum ("md5:..."), size in bytes."""
    try:
        return {
            file["key"]: {"url": urljoin(address, file["links"]["self"])}
            | {"checksum": file["checksum"], "size": int(file["size"])}
            for file in ask(address, retries).json()["files"]
        }
    except (requests.exceptions.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{address}: not understood ({type(error).__name__}: {error}); expected a record of "
            "Zenodo with files, each with key, checksum, size and links.self"
        ) from error
    except requests.RequestException as error:
        raise InputError(
            f"{address}: the record cannot be reached ({type(error).__name__}: {error}); expected "
            "an internet connection, or a mirror of Zenodo as the server"
        ) from error


def _get(archive: Archive, file: dict, folder: Path, retries: int, keep: bool, share: Share):
    """Fetch and unpack one zip, and note what came out of it."""
    url, note = file["url"], archive.note(folder)
    path = download(url, note.with_name(f"{archive.name}.zip"), file["checksum"], retries, share)
    with open_zip(path) as content:
        chosen = dict(_chosen(content, archive.machine_type))
        if not chosen:
            what = archive.machine_type or "ground_truth_data"
            raise InputError(f"{url}: nothing below a folder {what}/ in it")
        check_room(folder, sum(m.file_size for m in chosen.values()), f"unpacking {url}")
        for place, member in chosen.items():
            share.update(0)
            extract(content, member, folder / place)
    sizes = {str(place): member.file_size for place, member in chosen.items()}
    with paths.replacing(note) as part:
        part.write_text(json.dumps({"url": url, "checksum": file["checksum"], "files": sizes}))
    if not keep:
        path.unlink()


def _is_done(folder: Path, archive: Archive) -> bool:
    """Whether everything that was unpacked from a zip is still there."""
    if not archive.note(folder).exists():
        return False
    files = read_json(archive.note(folder)).get("files", {"": 0})
    places = {folder / place: size for place, size in files.items()}
    return all(place.is_file() and place.stat().st_size == size for place, size in places.items())


def _chosen(content: zipfile.ZipFile, machine_type: str | None) -> Iterator[tuple]:
    """What of a zip is wanted, and where: ``<machine type>/...``, or ``ground_truth/*.csv``."""
    for member in content.infolist():
        path = Path(member.filename)
        if member.is_dir() or path.name.startswith(".") or path.suffix.lower() not in WANTED:
            continue
        if machine_type is None:
            if path.parent.name == "ground_truth_data":
                yield Path("ground_truth") / path.name, member
        elif machine_type in path.parts[:-1]:
            yield Path(*path.parts[path.parts.index(machine_type) :]), member
