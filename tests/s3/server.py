"""An S3 server in memory: `python -m tests.s3.server [--failing N]` prints its port.

With `--failing N` every Nth request is answered as a busy store does: 503, slow down.
"""

import argparse
import logging
import threading
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def failing(application: Application, nth: int) -> Application:
    """Answer every nth request with 503."""
    numbers, lock = count(1), threading.Lock()

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with lock:
            number = next(numbers)
        if number % nth:
            return application(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response(
            "503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(BUSY)))]
        )
        return [BUSY]

    return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--failing", type=int, default=0)
    nth = parser.parse_args().failing
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application: Application = DomainDispatcherApplication(create_backend_app)
    with make_server(
        "127.0.0.1", 0, failing(application, nth) if nth else application, threaded=True
    ) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
