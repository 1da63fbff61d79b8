"""Workers on other machines by SSH; the scheduler is in this process.

python -m cluster.ssh node1 node2 --workers 8 --host 10.0.0.5
"""

import asyncio
import base64
import logging
import shlex
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import asyncssh
import dask
import typer
from distributed import Scheduler, SpecCluster
from distributed.deploy.spec import ProcessInterface
from distributed.security import Security

from cluster.access import FOLDER, access
from cluster.command import AccessOption, HostOption, OfferOption, PortOption, run_command, stand
from cluster.worker import LOOPBACK, Offer, Worker
from rsmtl.dispatch.executors import PATIENCE
from rsmtl.errors import InputError, RunError

START_S = 60.0
"""How long all workers may take to reach the scheduler."""
_END_S = 10.0
_LOOK_S = 0.1

_SCRIPT = """\
umask 077; folder=$(mktemp -d "${{TMPDIR:-/tmp}}/rsmtl-worker-XXXXXX") || exit 1; trap 'rm -rf "$folder"' EXIT; \
IFS= read -r secret; echo "$secret" | base64 -d > "$folder/certificate.pem"; exec 3<&0; \
OMP_NUM_THREADS=1 {command} --local-directory "$folder" --tls-ca-file "$folder/certificate.pem" \
--tls-cert "$folder/certificate.pem" --tls-key "$folder/certificate.pem" </dev/null & worker=$!; \
{{ cat <&3; kill "$worker"; }} >/dev/null 2>&1 & wait "$worker\""""
"""Runs on a host. The certificate comes by standard input, as everybody can read a command line; when that ends, by
`close` or because the connection is lost, so do the workers and their folder."""


@contextmanager
def ssh_cluster(
    hosts: Sequence[str],
    workers: int,
    folder: Path = FOLDER,
    *,
    memory: str = "auto",
    offers: Sequence[Offer] = (),
    host: str | None = None,
    port: int = 0,
    python: str = sys.executable,
    ssh_config: Path | None = None,
) -> Iterator[SpecCluster]:
    """Start workers on hosts, and end them with the block.

    Parameters
    ----------
    hosts
        As `ssh` takes them: names, addresses, USER@NAME, aliases of the configuration.
    workers
        On each host.
    folder
        Is made for the cluster's certificate; the hosts need not see it.
    memory
        Of each worker.
    offers
        What the workers are kept for.
    host, port
        Of the scheduler, as the hosts reach it.
    python
        Of the environment on the hosts.
    ssh_config
        In the place of `~/.ssh/config`.

    Raises
    ------
    InputError
        If a host cannot be logged in to, or the folder is there already.
    RunError
        If workers do not start, or do not reach the scheduler.
    """
    worker = Worker(1, memory, offers)
    command = [python, "-m", "dask", "worker", "--nworkers", str(workers)]
    command += [
        "--nthreads",
        "1",
        "--memory-limit",
        memory,
        "--death-timeout",
        str(START_S),
        *worker.arguments,
    ]
    login = {"config": [str(ssh_config)]} if ssh_config else {}
    with (
        access(folder) as security,
        dask.config.set({"distributed.deploy.lost-worker-timeout": PATIENCE}),
        _start(hosts, workers, command, login, security, host, port) as cluster,
    ):
        _wait(cluster, len(hosts) * workers)
        yield cluster


def _start(
    hosts: Sequence[str],
    n_each: int,
    command: Sequence[str],
    login: dict[str, Any],
    security: Security,
    host: str | None,
    port: int,
) -> SpecCluster:
    options = {"host": host, "port": port, "protocol": "tls://", "security": security}
    common = {"command": command, "login": login, "certificate": Path(security.tls_worker_cert).read_bytes()}
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": options | {"dashboard": True, "dashboard_address": LOOPBACK}},
        workers={
            f"ssh-{number}": {
                "cls": _Host,
                "options": common | {"host": name},
                **({"group": [f"-{each}" for each in range(n_each)]} if n_each > 1 else {}),
            }
            for number, name in enumerate(hosts)
        },
        security=security,
        silence_logs=logging.CRITICAL,
    )


def _wait(cluster: SpecCluster, n_workers: int) -> None:
    """Wait until all workers have reached the scheduler."""
    deadline = time.monotonic() + START_S
    while len(cluster.scheduler.workers) < n_workers:
        for one in cluster.workers.values():
            if one.ended:
                raise RunError(
                    f"the workers on {one.host!r} have ended: {one.last_words}; look whether the same environment is "
                    "there, or name its interpreter by --python"
                )
        if time.monotonic() > deadline:
            raise RunError(
                f"{len(cluster.scheduler.workers)} of {n_workers} worker(s) reached the scheduler at "
                f"{cluster.scheduler_address} within {START_S:g} s: give an address of this machine that the hosts "
                "reach by --host, and a port that is open to them by --port"
            )
        time.sleep(_LOOK_S)


class _Host(ProcessInterface):  # type: ignore[misc]
    """The workers of one host."""

    def __init__(
        self,
        scheduler: str,
        name: str,
        host: str,
        command: Sequence[str],
        login: dict[str, Any],
        certificate: bytes,
    ) -> None:
        super().__init__(scheduler=scheduler, name=name)
        self.host, self._login, self._certificate = host, login, certificate
        words = shlex.join([*command, "--name", name, scheduler])
        self._command = f"sh -c {shlex.quote(_SCRIPT.format(command=words))}"
        self._process: asyncssh.SSHClientProcess[str] | None = None
        self._lines: deque[str] = deque(maxlen=20)

    async def start(self) -> None:
        """Log in and start them."""
        user, _, host = self.host.rpartition("@")
        try:
            self._connection = await asyncssh.connect(
                host, **self._login, **({"username": user} if user else {})
            )
        except (
            OSError,
            ValueError,
            asyncssh.Error,
        ) as error:  # ValueError: a configuration or a key that is none
            raise InputError(
                f"there is no way to {self.host!r} by SSH ({_reason(error)}): see that `ssh {self.host} true` works "
                "without a password"
            ) from error
        self._process = await self._connection.create_process(self._command, stderr=asyncssh.STDOUT)
        self._process.stdin.write(f"{base64.b64encode(self._certificate).decode()}\n")
        self._listener = asyncio.create_task(self._listen(self._process.stdout))
        await super().start()

    async def _listen(self, said: asyncssh.SSHReader[str]) -> None:
        """Keep the last lines that the workers say; they would wait if nobody read them."""
        async for line in said:
            self._lines.append(line.strip())

    @property
    def ended(self) -> bool:
        """Whether there are none any more."""
        return self._listener.done()

    @property
    def last_words(self) -> str:
        """The last line that they said."""
        return next((line for line in reversed(self._lines) if line), "they said nothing")

    async def close(self) -> None:
        """End them."""
        if self._process is not None:
            self._process.stdin.write_eof()
            await asyncio.wait([self._listener], timeout=_END_S)
            self._connection.close()
        await super().close()


def _reason(error: Exception) -> str:
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    said = " ".join(said.split()).rstrip(".")
    return said[:1].lower() + said[1:] or type(error).__name__


def main(
    hosts: Annotated[
        list[str], typer.Argument(metavar="[USER@]HOST...", help="As `ssh` takes them.", show_default=False)
    ],
    workers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Worker processes on each host, of one thread.")
    ],
    memory: Annotated[
        str,
        typer.Option(metavar="SIZE", help="Memory of each worker process, such as 4GiB; auto: its share."),
    ] = "auto",
    offer: OfferOption = [],  # noqa: B006 (typer copies it)
    host: HostOption = None,
    port: PortOption = 0,
    python: Annotated[
        str, typer.Option(metavar="PATH", help="Interpreter of the environment on the hosts.")
    ] = sys.executable,
    ssh_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="In the place of ~/.ssh/config.", show_default=False),
    ] = None,
    access: AccessOption = FOLDER,
) -> int:
    """Bring up a cluster with workers on hosts that SSH reaches, and keep it until Ctrl-C."""
    cluster = ssh_cluster(
        hosts,
        workers,
        access,
        memory=memory,
        offers=offer,
        host=host,
        port=port,
        python=python,
        ssh_config=ssh_config,
    )
    return stand(cluster, access, len(hosts) * workers)


if __name__ == "__main__":
    sys.exit(run_command(main))
