"""Run a page as a reader would: in a fresh folder, with a home and, where that is allowed, a network of its own."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path

import psutil

from tests.chaos.processes import Processes
from tests.docs.pages import ROOT, blocks

_RUN_PAGE = Path(__file__).with_name("run_page.py")
_THERE = 'cd "$1" && shift && exec "$@"'
_LOOPBACK = 'ip link set lo up && exec "$@"'


def run(page: Path, folder: Path, limit_s: float) -> tuple[int | None, str]:
    """Run the blocks of a page and end all that it started; returns its exit status, None if it took too long."""
    wanted = [asdict(block) for block in blocks(page) if block.kind != "yaml"]
    work, given = folder / "work", folder / "page" / "blocks.json"
    for made in (work, given.parent):
        made.mkdir()
    given.write_text(json.dumps({"page": os.path.relpath(page, ROOT), "blocks": wanted}))
    processes = Processes(folder, surroundings())
    command = ["sh", "-c", _THERE, "sh", str(work), sys.executable, str(_RUN_PAGE), str(given)]
    try:
        status = processes.start("page", [*own_network(), *command]).wait(limit_s)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        end(processes)
    return status, processes.log("page").read_text(errors="replace")


def surroundings() -> dict[str, str]:
    """Return what the environment has: the project's commands first, nothing of this user's."""
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),  # `python -m flows.demo`, as in a clone
        "ROOT": str(ROOT),
        "RSMTL_DATA": str(data_folder()),
        "MPLBACKEND": "Agg",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def data_folder() -> Path:
    """Return where the real imagery is looked for."""
    return Path(os.environ.get("RSMTL_DATA", ROOT / "../shared/data")).resolve()


@cache
def own_network() -> list[str]:
    """Return the words that give a command a loopback of its own and no other network; none if that is not allowed."""
    words = ["unshare", "--map-root-user", "--net", "sh", "-c", _LOOPBACK, "sh"]
    if not shutil.which("unshare"):
        return []
    return words if not subprocess.run([*words, "true"], capture_output=True, check=False).returncode else []


def end(processes: Processes) -> None:
    """Kill whatever still lives, in the background or not, until nothing does."""
    while left := processes.alive():
        for process in left:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(left, timeout=10)
