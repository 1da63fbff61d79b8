"""Questions to the scheduler and to each worker of a cluster, beside its jobs, each with a limit of time.

A job would wait behind others, and a worker that is short of memory takes none. What is asked here is answered at once
by whoever is alive.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from distributed import Client

from rsmtl.dispatch.connect import connect
from rsmtl.dispatch.executors import ClusterExecutor, cluster_errors, workers_of

SCHEDULER = "scheduler"


@dataclass(frozen=True)
class Post:
    """The scheduler or a worker of a cluster, as the scheduler knows it."""

    name: str
    """A worker's address, or `SCHEDULER`."""
    host: str = ""
    n_threads: int = 0
    memory_limit_bytes: int = 0
    """0: none."""
    has_nanny: bool = False
    folder: str = ""
    """Where it spills."""


@dataclass(frozen=True)
class Answer:
    """What a post said, or the error that came instead, and when by this machine's clock."""

    value: Any
    asked_s: float
    came_s: float


Question = Callable[[], Awaitable[Any]]
"""Travels to its post, and is called in its event loop: it must not keep it."""


class Survey:
    """A cluster whose scheduler and workers are asked, one and all."""

    def __init__(self, client: Client) -> None:
        self._client = client
        found = (_post(address, told) for address, told in sorted(workers_of(client).items()))
        self.posts = (Post(SCHEDULER), *found)

    def ask(
        self, question: Callable[[Post], Question], posts: Iterable[Post], limit_s: float
    ) -> dict[Post, Answer]:
        """Put a question to posts, all at once; an answer that takes too long is a `TimeoutError`."""

        async def put(post: Post) -> Any:
            if post.name == SCHEDULER:
                return await self._client.run_on_scheduler(question(post))
            told = await self._client.run(question(post), workers=[post.name], on_error="return")
            return told[post.name]

        return self._all(put, posts, limit_s)

    def pythons(self, limit_s: float) -> dict[Post, Answer]:
        """Return each post's version of Python: functions that travel are of use only where it is the same."""

        async def put(post: Post) -> Any:
            if post.name == SCHEDULER:
                told = await self._client.scheduler.versions(packages=[])
            else:
                told = (
                    await self._client.scheduler.broadcast(
                        msg={"op": "versions", "packages": []}, workers=[post.name], on_error="return"
                    )
                )[post.name]
            return told["host"]["python"].rpartition(".final")[0]

        return self._all(put, self.posts, limit_s)

    def _all(
        self, put: Callable[[Post], Awaitable[Any]], posts: Iterable[Post], limit_s: float
    ) -> dict[Post, Answer]:
        async def one(post: Post) -> Answer:
            asked_s, value = time.time(), None
            try:
                value = await asyncio.wait_for(put(post), limit_s)
            except Exception as error:
                value = error
            return Answer(value, asked_s, time.time())

        async def together(listed: list[Post]) -> list[Answer]:
            return await asyncio.gather(*map(one, listed))

        listed = list(posts)
        return dict(zip(listed, self._client.sync(together, listed), strict=True))


@contextmanager
def survey_at(address: str) -> Iterator[Survey]:
    """Survey a cluster that stands, which goes on when the block ends; errors as `connect`."""
    with connect(address) as client, cluster_errors():
        yield Survey(client)


def survey_of(executor: ClusterExecutor) -> Survey:
    """Survey a cluster of our own."""
    return Survey(executor.client)


def _post(address: str, told: dict[str, Any]) -> Post:
    return Post(
        name=address,
        host=str(told.get("host", "")),
        n_threads=int(told["nthreads"]),
        memory_limit_bytes=int(told["memory_limit"] or 0),
        has_nanny=bool(told.get("nanny")),
        folder=str(told.get("local_directory", "")),
    )
