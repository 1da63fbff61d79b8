"""One job, with a limit on its time: what opens files that nobody has tried before may hang, or end its process."""

from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

from distributed import KilledWorker

from rsmtl.engine.executor import Executor
from rsmtl.errors import RunError

_LOOK_S = 0.5
"""Between two looks at a job whose limit may have passed; it may have waited first."""


def limited(
    executor: Executor, subject: str, limit_s: float, function: Callable[..., Any], *args: Any
) -> Any:
    """Run a function as a job and return what it returns, or give it up when it has been running for too long.

    Parameters
    ----------
    subject
        What the messages say took too long: `opening 'scene.tif'`.
    limit_s
        Seconds from when the job begins, not from when it is handed out. A `SerialExecutor` knows no limit.

    Raises
    ------
    RunError
        If the limit passed, or the job ended its worker several times over; the worker is restarted and works on.
    """
    future = executor.submit(function, *args)
    pause_s = limit_s
    while not wait([future], timeout=pause_s).done:
        pause_s = _LOOK_S
        if executor.overdue([future], limit_s):
            became = executor.abandon([future])
            raise RunError(f"{subject} took longer than {limit_s:g} s {became}: leave it out, or look at why")
    try:
        return future.result()
    except RunError as error:
        if not isinstance(error.__cause__, KilledWorker):
            raise
        raise RunError(
            f"{subject} ended its worker several times over, by a crash of a library or for want of memory: leave it "
            "out, or use workers with more memory"
        ) from error
