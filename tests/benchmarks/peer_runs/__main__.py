"""Do a job as one side does it, in this process and those it starts; print what it took as one line of JSON.

python -m tests.benchmarks.peer_runs by_monai '{"scene": …}'

Imports, the start of workers and the loading of the model are done before the clock starts.
"""

import json
import sys
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import psutil

from tests.benchmarks.peer_runs.job import Job, Took
from tests.torchvision_operators import declare_missing_operators


def main() -> None:
    """Run the side that the first argument names."""
    declare_missing_operators()  # pytorch-toolbelt imports torchvision
    prepared = import_module(f"{__package__}.{sys.argv[1]}").prepared
    with prepared(Job.from_json(sys.argv[2])) as run:
        cpu, start = _cpu_s(), time.perf_counter()
        stored = run() or time.perf_counter()
        took = Took(stored - start, time.perf_counter() - start, _cpu_s() - cpu, _peak_bytes())
        print(json.dumps(asdict(took)), flush=True)


def _processes() -> list[psutil.Process]:
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def _cpu_s() -> float:
    return float(sum(times.user + times.system for times in (one.cpu_times() for one in _processes())))


def _peak_bytes() -> int:
    """The most that all processes have held: the sum of their peaks, with files that they map (libraries) counted once.

    An upper bound, since they need not have had their peaks at one time.
    """
    found = [_status(process.pid) for process in _processes()]
    files = [one["RssFile"] for one in found]
    return sum(one["VmHWM"] for one in found) - sum(files) + max(files)


def _status(pid: int) -> dict[str, int]:
    """Sizes of a process in bytes."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {name[:-1]: int(rest[0]) * 1024 for name, *rest in lines if name in ("VmHWM:", "RssFile:")}


if __name__ == "__main__":
    main()
