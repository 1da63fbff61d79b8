"""A claim on a product's folder: of two runs of one scene at the same time one works, and the other says so.

On a disk it is a lock of the kernel's, which ends with its process however that dies. In an object store, or on a file
system without locks, it is a lease: a file that its owner renews, and that another run takes over when it is old.

Nothing but work depends on it. Jobs of two runs of the same fingerprint write the same bytes, and those of another one
find the fingerprint changed.
"""

import errno
import fcntl
import json
import os
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rsmtl.errors import RunError
from rsmtl.store.folder import LEASE_NAME, LOCK_NAME
from rsmtl.store.place import Place, create, disk_errors, is_object, make_folder, read, remove, write_bytes

LEASE_S = 60.0
"""A lease that was not renewed for so long is another's for the taking."""
RENEWALS = 4
"""Attempts to renew a lease before it ends."""

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)

Check = Callable[[], None]
"""Raises a `RunError` if the claim was lost."""


@contextmanager
def claimed(folder: Place) -> Iterator[Check]:
    """Keep a product's folder for this run while the block lasts.

    Raises
    ------
    RunError
        If another run has it, or the folder cannot be written.
    """
    with disk_errors(folder):
        make_folder(folder)
        lock = None if is_object(folder) else _locked(folder / LOCK_NAME)
    if lock is None:
        with _leased(folder / LEASE_NAME) as check:
            yield check
        return
    try:
        yield lambda: None
    finally:
        with suppress(OSError):  # the disk may be gone, which is not what to tell now
            remove(
                folder / LOCK_NAME
            )  # while the lock is held, so that nobody can have it of the file removed
        os.close(lock)


def _locked(path: Path) -> int | None:
    """Return the descriptor of the locked file; None where the file system knows no locks."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(path, descriptor):
                os.ftruncate(descriptor, 0)
                os.write(descriptor, _owner())
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise _taken(path) from None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            remove(path)
            os.close(descriptor)
            return None
        os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether a file that was opened stands there still: the run before may have removed it when it ended."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextmanager
def _leased(path: Place) -> Iterator[Check]:
    mine = _owner()
    with disk_errors(path):
        if not _created(path, mine):
            if not _is_old(path):
                raise _taken(path)
            remove(path)
            if not _created(path, mine):
                raise _taken(path)
    ended, lost = threading.Event(), threading.Event()

    def renew() -> None:
        while not ended.wait(LEASE_S / RENEWALS):
            try:
                if read(path) != mine:
                    lost.set()
                    return
                write_bytes(path, mine)
            except RunError:
                continue  # the store does not answer: what was written last may hold until it does

    def check() -> None:
        if lost.is_set() or read(path) != mine:
            raise _taken(path)

    keeper = threading.Thread(target=renew, name="rsmtl-lease", daemon=True)
    keeper.start()
    try:
        yield check
    finally:
        ended.set()
        keeper.join()
        with suppress(Exception):  # the lease ends by itself; what the block has to say is more important
            if not lost.is_set() and read(path) == mine:
                remove(path)


def _created(path: Place, mine: bytes) -> bool:
    """Create a lease; one that is ours already was created by an attempt whose answer was lost."""
    return create(path, mine) or read(path) == mine


def _is_old(path: Place) -> bool:
    """Whether a lease has not been renewed for long, by the store's own clock."""
    probe = path.with_name(f".{LEASE_NAME}.{uuid.uuid4().hex[:12]}.part")
    write_bytes(probe, b"")
    try:
        now = probe.stat().st_mtime
    except FileNotFoundError:  # removed by whoever is at work, and sweeps the folder
        return False
    finally:
        remove(probe)
    try:
        return now - path.stat().st_mtime > LEASE_S
    except FileNotFoundError:
        return True


def _owner() -> bytes:
    told = {"host": socket.gethostname(), "pid": os.getpid(), "run": uuid.uuid4().hex}
    return json.dumps(told).encode()


def _taken(path: Place) -> RunError:
    try:
        told = json.loads(read(path) or b"")
        who = f"process {int(told['pid'])} on {str(told['host'])[:100]}"
    except (ValueError, KeyError, TypeError, RunError):
        who = "another process"
    return RunError(
        f"{who} is at work on {path.parent}: wait until it has ended, or give another output folder"
    )
