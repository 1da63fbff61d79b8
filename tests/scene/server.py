"""A web server over a folder, with the range requests that GDAL needs: `python server.py FOLDER` prints its port.

It is a process of its own: rasterio keeps Python's lock in some calls that fetch from a server, so one in the
same process could not answer.
"""

import re
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

REFUSED = "refused"
"""Begins the name of a file that nobody may read, or is the suffix of another one beside it."""


class RangeHandler(SimpleHTTPRequestHandler):
    """Answers `Range: bytes=a-b` with 206, which Python's own handler does not."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if path.name.startswith(REFUSED) or path.with_name(f"{path.name}.{REFUSED}").exists():
            return self.send_error(403)
        if not asked or not path.is_file():
            return super().do_GET()
        whole = path.read_bytes()
        first, last = int(asked[1]), min(int(asked[2] or len(whole)), len(whole) - 1)
        if first > last:
            return self.send_error(416)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{last}/{len(whole)}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        self.wfile.write(whole[first : last + 1])
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(RangeHandler, directory=sys.argv[1])) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
