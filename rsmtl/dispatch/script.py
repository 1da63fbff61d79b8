"""Scripts that start workers, and what `multiprocessing` would make of them."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec


class _NotForWorkers(ModuleSpec):
    """Names a script `__main__`, of which a process imports nothing, to Dask's threads that start workers."""

    def __init__(self, before: ModuleSpec | None) -> None:
        self._before = before
        super().__init__("__main__", None)

    @property  # type: ignore[override]
    def name(self) -> str | None:
        """What it is called."""
        if threading.current_thread().name.startswith("AsyncProcess"):
            return "__main__"
        return None if self._before is None else self._before.name

    @name.setter
    def name(self, _: str) -> None: ...


@contextmanager
def script_left_alone() -> Iterator[None]:
    """Keep worker processes, restarted ones too, from running the caller's script anew, as `multiprocessing` wants.

    They need nothing of it: what it defines travels by value. A script without `if __name__ == "__main__"` would start
    a cluster in each of its workers.
    """
    main = sys.modules["__main__"]
    before = main.__spec__
    main.__spec__ = _NotForWorkers(before)
    try:
        yield
    finally:
        main.__spec__ = before
