"""Peak memory of a worker and of the client does not grow with the scene."""

import json
import subprocess
import sys

import pytest

NOISE = 1.2
"""How far peaks of equal runs lie apart on a busy machine (750 to 830 MiB); the large scene has 16 times the pixels."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_is_flat_from_4096_to_16384_pixels() -> None:
    small, large = (peaks(size) for size in (4096, 16384))
    assert large["worker_mib"] <= NOISE * small["worker_mib"], (small, large)
    assert large["client_mib"] <= NOISE * small["client_mib"], (small, large)


def peaks(size: int) -> dict[str, float]:
    """In a process of its own, as a peak is never forgotten."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(size)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])
