"""A server on this computer that stands in for Zenodo and GitHub, with their faults."""

import hashlib
import http.server
import io
import json
import threading
import zipfile
from contextlib import contextmanager


class Archives:
    """What the server holds, what it was asked for, and what is to go wrong."""

    def __init__(self):
        self.files: dict[str, bytes] = {}  # by path
        self.records: dict[str, dict[str, str]] = {}  # record: checksum by file name
        self.requests: list[str] = []  # paths of files, in the order of the requests
        self.cut: dict[str, int] = {}  # path: how often the connection breaks half way
        self.failing: dict[str, int] = {}  # path: how often the server says that it is overloaded
        self.halfway = {}  # path: what to call when half of it is sent
        self.address = ""

    def add_record(self, record: str, name: str, content: bytes, checksum: str | None = None):
        """A file of a Zenodo record, with its true checksum unless another is given."""
        checksum = checksum or "md5:" + hashlib.md5(content).hexdigest()
        self.records.setdefault(record, {})[name] = checksum
        self.files[self.path(record, name)] = content

    @staticmethod
    def path(record: str, name: str) -> str:
        return f"/api/records/{record}/files/{name}/content"

    def answer(self, path: str) -> bytes | None:
        """A file, or a record in the form of Zenodo's API."""
        record = path.removeprefix("/api/records/")
        if record not in self.records:
            return self.files.get(path)
        files = [
            {
                "id": f"{number}",
                "key": name,
                "size": len(self.files[self.path(record, name)]),
                "checksum": checksum,
                "links": {"self": self.address + self.path(record, name)},
            }
            for number, (name, checksum) in enumerate(self.records[record].items())
        ]
        return json.dumps({"id": int(record), "files": files}).encode()


@contextmanager
def served(archives: Archives):
    """Serve ``archives`` while the block runs; ``archives.address`` is where."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = archives.answer(self.path)
            if content is None:
                self.send_error(404)
                return
            if archives.failing.get(self.path, 0):
                archives.failing[self.path] -= 1
                self.send_error(503)
                return
            if self.path in archives.files:
                archives.requests.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            half = len(content) // 2
            self.wfile.write(content[:half])
            self.wfile.flush()
            if archives.cut.get(self.path, 0):
                archives.cut[self.path] -= 1
                self.close_connection = True
                return
            archives.halfway.get(self.path, lambda: None)()
            try:
                self.wfile.write(content[half:])
            except ConnectionError:  # who asked has gone
                self.close_connection = True

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        archives.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield archives
        server.shutdown()
        thread.join()


def zipped(files: dict[str, bytes], comment: bytes = b"", **options) -> bytes:
    """A zip of files by name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as content:
        content.comment = comment
        for name, data in files.items():
            content.writestr(name, data)
    return buffer.getvalue()
