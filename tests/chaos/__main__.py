"""Let faults strike a catalogue that is being processed, and say what became of it.

python -m tests.chaos [--seed N] [--faults N] [--minutes M]
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.isolation import enter


def main() -> int:
    """Print a table for each storm; return 1 if a promise was not kept."""
    parser = argparse.ArgumentParser(prog="tests.chaos")
    parser.add_argument("--seed", type=int, default=1, help="decides which faults strike what, and when")
    parser.add_argument("--faults", type=int, default=44, help="of each storm")
    parser.add_argument("--minutes", type=float, default=0, help="go on with the next seeds for so long")
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--workers", type=int, default=4, help="hosts with a worker each")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # threads that wait for each other on busy cores cost minutes
    why_not = enter("tests.chaos", sys.argv[1:])

    from tests.chaos.campaign import campaign, storm_over, undisturbed  # once it is settled where this runs
    from tests.chaos.report import kept, show

    begun, folder, reports = time.monotonic(), Path(tempfile.mkdtemp(prefix="rsmtl-chaos-")), []
    with campaign(folder, options.scenes, options.workers, options.seed, isolated=not why_not) as common:
        expected = undisturbed(common, options.seed)
        n_chunks = len(common.tally.kept)
        print(f"undisturbed: {n_chunks} chunks, each run once, {time.monotonic() - begun:.0f} s", flush=True)
        while not reports or time.monotonic() - begun < 60 * options.minutes:
            seed = options.seed + len(reports)
            reports.append(storm_over(common, expected, n_chunks, options.faults, seed))
            show(reports[-1], why_not)
    left = common.processes.alive()
    for process in left:
        process.kill()
    print(f"processes left at the end: {len(left)}; {time.monotonic() - begun:.0f} s in all")
    if left or not all(map(kept, reports)):
        print(f"logs are in {folder / 'logs'}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
