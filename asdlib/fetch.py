"""Fetch the paper's data, DCASE 2021 Task 2, from Zenodo (``python -m asdlib.fetch``).

About 18 GB unzipped. Checksums come from Zenodo's own records; a zip that is already there and
whole is not fetched again, and each is the unit of a restart.
"""

import argparse
import zipfile
from pathlib import Path

import pooch

from asdlib import paths
from asdlib.errors import InputError, one_of
from asdlib.paper import MACHINE_TYPES

# Zenodo records: sections 00-02, then train and test of sections 03-05, then their labels
RECORDS = {
    "development": ("4562016", ("dev_data_{}.zip",)),
    "additional training": ("4660992", ("eval_data_{}_train.zip",)),
    "evaluation": ("4884786", ("eval_data_{}_test.zip",)),
}
GROUND_TRUTH = "5257674"


def fetch(folder=None, machine_types=MACHINE_TYPES) -> Path:
    """Download, check and unpack the corpus into ``folder`` (``data/dcase2021``); returns it.

    Raises :class:`InputError` where Zenodo cannot be reached or lacks a file.
    """
    folder = Path(folder or paths.data_dir("dcase2021"))
    for machine_type in machine_types:
        one_of("machine type of DCASE 2021", machine_type, MACHINE_TYPES)
    for record, names in RECORDS.values():
        shelf = _shelf(record, folder / "zip")
        for name in (name.format(kind) for kind in machine_types for name in names):
            _unpack(_get(shelf, name), folder)
    shelf = _shelf(GROUND_TRUTH, folder / "zip")
    for name in shelf.registry:
        if name.endswith(".zip"):
            _unpack(_get(shelf, name), folder / "ground_truth", flat=True)
    return folder


def _shelf(record: str, cache: Path) -> pooch.Pooch:
    """The files of a Zenodo record with their checksums."""
    shelf = pooch.create(path=cache, base_url=f"doi:10.5281/zenodo.{record}", registry=None)
    try:
        shelf.load_registry_from_doi()
    except Exception as error:  # requests and pooch each have their own
        raise InputError(
            f"Zenodo record {record} cannot be reached ({type(error).__name__}: {error}); "
            "expected an internet connection, or zips fetched by hand and unpacked"
        ) from error
    return shelf


def _get(shelf: pooch.Pooch, name: str) -> Path:
    if name not in shelf.registry:
        raise InputError(f"{shelf.base_url}: no file {name}; it holds {sorted(shelf.registry)}")
    return Path(shelf.fetch(name, progressbar=True))


def _unpack(archive: Path, folder: Path, flat: bool = False) -> None:
    """Unpack what is missing or of another size; ``flat`` drops folders and keeps CSV only."""
    with zipfile.ZipFile(archive) as content:
        for member in content.infolist():
            wanted = not member.is_dir() and (not flat or member.filename.endswith(".csv"))
            target = folder / (Path(member.filename).name if flat else member.filename)
            if not wanted or (target.exists() and target.stat().st_size == member.file_size):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            part = target.with_name(target.name + ".part")
            part.write_bytes(content.read(member))
            part.rename(target)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m asdlib.fetch", description=__doc__)
    parser.add_argument("folder", nargs="?", help="where to (default: data/dcase2021)")
    parser.add_argument("--machine-types", nargs="+", default=MACHINE_TYPES, metavar="TYPE")
    arguments = parser.parse_args()
    print(fetch(arguments.folder, arguments.machine_types))


if __name__ == "__main__":
    main()
