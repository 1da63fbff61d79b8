"""A process that answers call after call, within bounded memory; started by `runner`. `direct` or the command line.

A call costs milliseconds then, not the seconds that its imports take, and one that never ends or takes the process
with it is the caller's to notice.
"""

import json
import os
import resource
import sys
import tempfile
import time
import traceback
from pathlib import Path

from rsmtl.cli import main
from tests.awkward import direct

DIRECT = {"direct make": direct.make, "direct check": direct.check}

DATA_BYTES = 4 * 2**30
"""Of private memory, before the system refuses more: what asks for it fails here, and not the machine."""


def serve() -> None:
    """Answer every line of standard input, a list of words, with one line."""
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(os.dup(1), "w") as answers:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def answer(words: list[str]) -> dict[str, object]:
    """Call it; also what libraries in C write to the two streams is caught."""
    status, start = None, time.perf_counter()
    before = _memory_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            called = DIRECT.get(words[0])
            status = called(*words[1:]) if called else main(words)
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        said = [os.pread(stream.fileno(), 2**20, 0).decode(errors="replace") for stream in (out, err)]
    return {
        "status": status,
        "out": said[0],
        "err": said[1],
        "seconds": time.perf_counter() - start,
        "grown_bytes": _memory_bytes("VmHWM") - before,
    }


def _memory_bytes(name: str) -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(name)) * 1024


if __name__ == "__main__":
    serve()
