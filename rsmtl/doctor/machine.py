"""What a process may have of its machine: memory, cores, open files, room on the disk."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rsmtl.dispatch.survey import SCHEDULER, Post
from rsmtl.doctor.finding import HERE, Finding
from rsmtl.units import size

CONTAINER = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where a container finds how much memory it has."""
ROOM_FILES = 256
"""That a process may open besides those it has: rasters of each thread, shards, connections to stores."""
ROOM_BYTES = 2**30
"""Of a folder for temporary files: a spilled chunk, a COG on its way to an object store."""


def look_at_machine(folder: str) -> dict[str, Any]:
    """Return what this process may have; `folder` is where it puts temporary files, the system's unless named."""
    import ctypes
    import resource
    import shutil
    import tempfile

    import psutil
    from dask.system import CPU_COUNT

    limits = [psutil.virtual_memory().total]
    for path in CONTAINER:
        told = Path(path).read_text().strip() if Path(path).exists() else ""
        limits += [int(told)] if told.isdecimal() else []
    scratch = folder or tempfile.gettempdir()
    return {
        "memory_bytes": int(min(limits)),
        "available_bytes": int(psutil.virtual_memory().available),
        "cores": int(CPU_COUNT),
        "omp": os.environ.get("OMP_NUM_THREADS", ""),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "files_open": psutil.Process().num_fds(),
        "scratch": scratch,
        "scratch_bytes": shutil.disk_usage(scratch).free,
        "trim": os.environ.get("MALLOC_TRIM_THRESHOLD_", ""),
        "mallopt": hasattr(ctypes.CDLL(None), "mallopt"),
    }


def look_at_threads() -> int:
    """Return how many threads PyTorch takes for an operator unless told otherwise."""
    import torch

    return torch.get_num_threads()


def judge_machine(found: Mapping[str, Mapping[str, Any]], posts: Sequence[Post]) -> Iterator[Finding]:
    """Tell of memory, cores, files and room at all places."""
    for place, seen in found.items():
        yield _files(place, seen)
        yield _scratch(place, seen)
    here = found.get(HERE)
    if here:
        text = f"{size(here['memory_bytes'])}, {size(here['available_bytes'])} free; {here['cores']} cores"
        yield Finding("machine", text)
    workers = [post for post in posts if post.name != SCHEDULER and post.name in found]
    for post in workers:
        yield _memory(post, found[post.name])
        yield from _nanny(post, found[post.name])
    for host in dict.fromkeys(post.host for post in workers):
        yield from _host(host, [post for post in workers if post.host == host], found)


def _files(place: str, seen: Mapping[str, Any]) -> Finding:
    limit, opened = seen["files"], seen["files_open"]
    if limit < 0:  # no limit
        return Finding("open files", "no limit", where=(place,))
    if limit - opened < ROOM_FILES:
        return Finding(
            "open files",
            f"{opened:,} of at most {limit:,} are open",
            "mend",
            f"raise the limit there (`ulimit -n {limit + 4096}`) before it is started",
            where=(place,),
        )
    return Finding("open files", f"at most {limit:,}", where=(place,))


def _scratch(place: str, seen: Mapping[str, Any]) -> Finding:
    free, folder = seen["scratch_bytes"], seen["scratch"]
    if free < ROOM_BYTES:
        return Finding(
            "scratch folder",
            f"{folder} has {size(free)} free, {size(ROOM_BYTES)} are wanted",
            "mend",
            "make room, or name another by TMPDIR (workers: `--local-directory`)",
            where=(place,),
        )
    return Finding(
        "scratch folder", "there is room for temporary files", where=(place,)
    )  # figures differ by place


def _memory(post: Post, seen: Mapping[str, Any]) -> Finding:
    limit, machine = post.memory_limit_bytes, seen["memory_bytes"]
    if not limit:
        return Finding(
            "memory",
            f"no limit, on a machine or in a container of {size(machine)}: the kernel kills what takes too much",
            "note",
            "start workers with `--memory-limit`",
            where=(post.name,),
        )
    if limit > machine:
        return Finding(
            "memory",
            f"the worker may take {size(limit)}, its machine or container has {size(machine)}",
            "mend",
            f"start it with `--memory-limit {size(machine).replace(' ', '')}` or less, or the kernel kills it",
            where=(post.name,),
        )
    return Finding("memory", f"{size(limit)} for {post.n_threads} thread(s)", where=(post.name,))


def _nanny(post: Post, seen: Mapping[str, Any]) -> Iterator[Finding]:
    if not post.has_nanny:
        text = "the worker has no nanny, so nothing of Dask's starts it again when it dies or hangs"
        todo = "leave out `--no-nanny`, unless Kubernetes or the like starts it again"
        yield Finding("nanny", text, "note", todo, where=(post.name,))
    if not seen["mallopt"]:
        text = "the C library is not glibc, and rsmtl cannot have it keep memory that is freed: windows take longer"
        yield Finding("allocator", text, "note", "use an image with glibc", where=(post.name,))
    elif seen["trim"]:
        text = f"MALLOC_TRIM_THRESHOLD_={seen['trim']} is set, which rsmtl lifts for its runs"
        yield Finding("allocator", text, where=(post.name,))


def _host(host: str, workers: Sequence[Post], found: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    names = tuple(post.name for post in workers)
    seen, together = found[names[0]], sum(post.memory_limit_bytes for post in workers)
    if len(workers) > 1 and together > seen["memory_bytes"]:
        yield Finding(
            "memory",
            f"{len(workers)} workers on {host} may take {size(together)} together, it has {size(seen['memory_bytes'])}",
            "mend",
            f"start each with `--memory-limit {size(seen['memory_bytes'] // len(workers)).replace(' ', '')}` or less",
            where=names,
        )
    threads, cores = sum(post.n_threads for post in workers), seen["cores"]
    if threads > cores:
        yield Finding(
            "threads",
            f"{threads} threads of workers share {cores} core(s) of {host}",
            "mend",
            "start fewer workers there, or with a smaller `--nthreads`",
            where=names,
        )
    else:
        yield Finding("threads", f"{threads} threads of workers on {cores} core(s) of {host}", where=names)


def judge_threads(
    torch_threads: Mapping[str, int], found: Mapping[str, Mapping[str, Any]], posts: Sequence[Post]
) -> Iterator[Finding]:
    """Tell of workers whose libraries take more threads than there are cores; a forward pass takes those it is told."""
    for post in posts:
        n_torch, seen = torch_threads.get(post.name), found.get(post.name)
        if n_torch is None or seen is None or n_torch * post.n_threads <= seen["cores"]:
            continue
        yield Finding(
            "threads",
            f"OMP_NUM_THREADS is {seen['omp'] or 'not set'}, so each of {post.n_threads} thread(s) takes {n_torch} "
            f"for what is no forward pass, on {seen['cores']} core(s)",
            "note",
            "set OMP_NUM_THREADS=1 where the worker is started",
            where=(post.name,),
        )
