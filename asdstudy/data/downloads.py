"""Files from a server, whole or not at all: several side by side, and zips unpacked safely."""

import shutil
import stat
import threading
import time
import zipfile
import zlib
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from pathlib import Path, PureWindowsPath

import pooch
import requests
from pooch.hashes import hash_matches
from tqdm import tqdm

from asdlib.errors import InputError

TIMEOUT_SECONDS = 60  # without a byte
CHUNK = 1 << 20
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError)  # what a damaged zip raises, here or there


class WrongArchive(InputError):
    """A damaged archive, or one of another commit: it must be fetched again."""


class Share:
    """The part of one file in the progress bar of all: what pooch takes for a bar of its own."""

    def __init__(self, bar: tqdm, stop: threading.Event | None = None):
        self.bar, self.stop, self.done, self.total = bar, stop or threading.Event(), 0, 0

    def update(self, size: int) -> None:
        """Count ``size`` more bytes; raises CancelledError where all transfers are to end."""
        if self.stop.is_set():
            raise CancelledError
        self.done += size
        self.bar.update(size)

    def reset(self) -> None:
        """Begin again from nothing."""
        self.update(-self.done)

    def close(self) -> None:
        """The bar of all is closed by its owner."""


def download(url: str, path: Path, checksum: str | None, retries: int, share: Share) -> Path:
    """Fetch one file, unless it is there with that ``checksum``; ``path`` is never a broken one.

    Without a checksum it must at least be a zip with an end. Remains of a killed process are
    removed. Raises :class:`InputError`, naming the address, when the last try has failed.
    """

    def attempt(url, output, shelf):
        share.reset()
        pooch.HTTPDownloader(share, chunk_size=CHUNK, timeout=TIMEOUT_SECONDS)(url, output, shelf)
        if checksum is None and not zipfile.is_zipfile(output):
            raise ValueError("what came is no whole zip")

    if path.exists() and hash_matches(path, checksum):
        return path
    # pooch writes under random names: in a folder of its own, they can only be this file's
    part, name = path.with_name(f"{path.name}.part").absolute(), path.name  # pooch expands a ~
    shutil.rmtree(part, ignore_errors=True)
    shelf = pooch.create(part, "", registry={name: checksum}, urls={name: url})
    shelf.retry_if_failed = retries
    try:
        return Path(shelf.fetch(name, downloader=attempt)).replace(path)
    except (requests.RequestException, ValueError, OSError) as error:
        raise InputError(f"{url}: not fetched ({type(error).__name__}: {error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def ask(url: str, retries: int = 3) -> requests.Response:
    """The whole answer to a GET, repeated up to ``retries`` times if it or the server fails.

    Raises :class:`requests.RequestException` when the last try has failed, and at once for a
    status below 500, such as "not found".
    """
    for left in reversed(range(retries + 1)):
        # urllib3's own retries do not see an answer that breaks off half way
        try:
            answer = requests.get(url, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
            return answer
        except requests.RequestException as error:
            status = getattr(error.response, "status_code", 500)
            if not left or status < 500:
                raise
        time.sleep(1)


def open_zip(path: Path) -> zipfile.ZipFile:
    """A zip of which no member would leave the folder it is unpacked to.

    Raises :class:`InputError`, before anything is unpacked, for absolute names, ``..`` and links.
    """
    try:
        content = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise WrongArchive(f"{path}: no zip that can be read ({error})") from error
    for member in content.infolist():
        name = PureWindowsPath(member.filename)  # knows / and \ and drives
        if name.anchor or ".." in name.parts or stat.S_ISLNK(member.external_attr >> 16):
            content.close()
            raise InputError(
                f"{path}: holds {member.filename!r}, which may lead out of the folder; refused"
            )
    return content


def extract(content: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Unpack one member to ``target``; after an error nothing of it is left."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    try:
        with content.open(member) as source, part.open("wb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)
        part.replace(target)
    except (*BROKEN, OSError) as error:
        raise InputError(f"{content.filename}: {member.filename} not unpacked ({error})") from error
    finally:
        part.unlink(missing_ok=True)


def side_by_side(
    jobs: dict[str, Callable[[Share], None]], size: int, workers: int, progress: bool = True
) -> None:
    """Run the jobs in ``workers`` threads under one progress bar of ``size`` bytes.

    All are waited for; the :class:`InputError` of those that failed are raised as one. Anything
    else, as Ctrl-C, ends the others at their next chunk.
    """
    stop, failed = threading.Event(), {}
    with (
        tqdm(total=size, unit="B", unit_scale=True, mininterval=1, disable=not progress) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        names = {pool.submit(job, Share(bar, stop)): name for name, job in jobs.items()}
        try:
            for future in as_completed(names):
                try:
                    future.result()
                    bar.set_postfix_str(f"{names[future]} is whole")
                except InputError as error:
                    failed[names[future]] = error
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        reasons = "; ".join(str(failed[name]) for name in sorted(failed))
        raise InputError(f"{len(failed)} of {len(jobs)} files not fetched: {reasons}")
