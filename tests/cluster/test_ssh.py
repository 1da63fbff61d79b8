"""SSH to this very machine, by a server of the test's own: its keys, its port, its known hosts."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.ssh import ssh_cluster
from rsmtl.errors import InputError, RunError
from tests.cluster.conftest import START_S, Material, Recipe, workers_on

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
PRIVILEGES = Path("/run/sshd")
"""A folder that sshd wants when it runs as root; elsewhere the system's service makes it."""

SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
"""
CLIENT = """
Host node-*
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/user
    UserKnownHostsFile {folder}/known_hosts
"""


@dataclass(frozen=True)
class Server:
    """An SSH server, and how to log in to it."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if SSHD is None:
        pytest.skip("there is no sshd here: install openssh-server")
    if os.getuid() == 0:
        PRIVILEGES.mkdir(mode=0o755, exist_ok=True)
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "sshd_config").write_text(SERVER.format(port=port, folder=folder))
    (folder / "config").write_text(CLIENT.format(port=port, folder=folder, user=getpass.getuser()))
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
    try:
        _wait_until_it_answers(port, process, folder / "log")
        yield Server(folder)
    finally:
        process.terminate()
        process.wait()


def _wait_until_it_answers(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_S
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)


def _words(server: Server) -> tuple[str, ...]:
    return ("--host", "127.0.0.1", "--ssh-config", str(server.config), "--memory", "2GiB")


def test_a_product_on_workers_of_two_hosts(
    server: Server, recipe: Recipe, material: Material, tmp_path: Path
) -> None:
    words = ("node-1", "node-2", "--workers", "1", "--offer", "training", *_words(server))
    standing = recipe("ssh", *words)
    material.made_on(standing, tmp_path / "out")
    with standing.client(2) as client:
        workers = workers_on(client)
    for worker in workers:
        assert worker["nthreads"] == 1
        assert worker["memory_limit"] == 2 * 2**30
        assert worker["resources"] == {"training": 1}
        assert worker["omp"] == "1"
    assert {worker["name"] for worker in workers} == {"ssh-0", "ssh-1"}
    scratch = {Path(worker["local_directory"]).parent.parent for worker in workers}
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in scratch)
    processes = standing.processes()
    shown = [" ".join(process.cmdline()) for process in processes]
    assert any("--tls-key" in line for line in shown)
    assert not any("PRIVATE KEY" in line for line in shown)
    assert standing.ends(signal.SIGTERM, processes) == 0
    assert not any(folder.exists() for folder in scratch)
    assert not standing.folder.exists()


def test_workers_end_when_the_recipe_is_killed(server: Server, recipe: Recipe) -> None:
    standing = recipe("ssh", "node-1", "--workers", "2", *_words(server))
    with standing.client(2) as client:
        worker, other = workers_on(client)
    assert {worker["name"], other["name"]} == {"ssh-0-0", "ssh-0-1"}
    scratch = Path(worker["local_directory"]).parent.parent
    processes = standing.processes()
    shell = processes[1].parents()[1]
    assert shell.name() == "sh"
    assert standing.ends(signal.SIGKILL, [*processes, shell]) == -signal.SIGKILL
    assert not scratch.exists()


def test_a_host_with_another_key_is_not_logged_in_to(server: Server, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    known = (server.folder / "known_hosts").read_text().split(" ", 1)[0]
    (tmp_path / "known_hosts").write_text(f"{known} {other.with_suffix('.pub').read_text()}")
    config = tmp_path / "config"
    config.write_text(
        server.config.read_text().replace(f"{server.folder}/known_hosts", f"{tmp_path}/known_hosts")
    )
    with pytest.raises(InputError, match=r"there is no way to 'node-1' by SSH .*host key"):
        ssh_cluster(["node-1"], 1, tmp_path / "access", ssh_config=config).__enter__()
    assert not (tmp_path / "access").exists()


def test_a_host_without_the_environment_is_named(server: Server, tmp_path: Path) -> None:
    cluster = ssh_cluster(
        ["node-1"],
        1,
        tmp_path / "access",
        host="127.0.0.1",
        ssh_config=server.config,
        python="/nowhere/python",
    )
    with pytest.raises(RunError, match=r"the workers on 'node-1' have ended: .*/nowhere/python"):
        cluster.__enter__()
    assert not (tmp_path / "access").exists()
