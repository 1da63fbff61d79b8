"""A look around at the place where it happens, with a limit of time: here, on a worker, on the scheduler.

Looks travel by value, since a worker may lack rsmtl or have another one. So their modules import nothing of it at
their top that a look needs, and what they find is made of plain numbers, texts, lists and dicts.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

LIMIT_S = 60.0
"""What no look takes unless something hangs; importing PyTorch from a slow disk may take half of it."""


def look(limit_s: float, function: Callable[..., Any], *args: Any) -> dict[str, Any]:
    """Return what a function found, the error that it met, or that it took too long; its thread is then left behind."""
    answer: dict[str, Any] = {}

    def run() -> None:
        try:
            answer["found"] = function(*args)
        except BaseException as error:  # a library may do anything
            said = " ".join(str(error).split()).rstrip(".")
            kind = "" if said and hasattr(error, "exit_status") else type(error).__name__
            answer["error"] = ": ".join(filter(None, (kind, said)))

    thread = threading.Thread(target=run, name="rsmtl-doctor", daemon=True)
    thread.start()
    thread.join(limit_s)
    return dict(answer) or {"hangs": limit_s}


def travelling(
    limit_s: float, function: Callable[..., Any], *args: Any
) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Return a look that can be sent to an event loop, which it does not keep."""

    async def there() -> dict[str, Any]:
        return await asyncio.to_thread(look, limit_s, function, *args)

    return there


@contextmanager
def by_value() -> Iterator[None]:
    """Let functions of this package travel as their code while the block lasts, not as names of it."""
    import cloudpickle  # type: ignore[import-untyped]

    import rsmtl.doctor

    cloudpickle.register_pickle_by_value(rsmtl.doctor)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(rsmtl.doctor)
