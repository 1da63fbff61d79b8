"""Hosts of a cluster: network namespaces at a bridge, or all of them this machine."""

import subprocess
from collections.abc import Sequence
from typing import Protocol


class Network(Protocol):
    """Where the scheduler and each host can be reached."""

    scheduler: str
    """Address of the scheduler's host."""

    def address(self, host: int) -> str:
        """Address of a host."""

    def inside(self, host: int, command: Sequence[str]) -> list[str]:
        """Return a command that runs another one on a host."""


class ThisMachine:
    """No hosts at all; what a network can do wrong cannot be tried."""

    scheduler = "127.0.0.1"

    def address(self, host: int) -> str:
        return self.scheduler

    def inside(self, host: int, command: Sequence[str]) -> list[str]:
        return list(command)


class Namespaces:
    """A network namespace for each host, joined by a bridge in that of this process, which is the scheduler's host."""

    scheduler = "10.0.0.1"

    def __init__(self, n_hosts: int) -> None:
        _ip("link add bridge type bridge")
        _ip(f"addr add {self.scheduler}/24 dev bridge")
        _ip("link set bridge up")
        for host in range(n_hosts):
            _ip(f"netns add host{host}")
            _ip(f"link add port{host} type veth peer name eth0 netns host{host}")
            _ip(f"link set port{host} master bridge up")
            _ip(f"-n host{host} addr add {self.address(host)}/24 dev eth0")
            _ip(f"-n host{host} link set eth0 up")
            _ip(f"-n host{host} link set lo up")

    def address(self, host: int) -> str:
        return f"10.0.0.{host + 2}"

    def inside(self, host: int, command: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", f"host{host}", *command]

    def cut(self, host: int) -> None:
        """Take a host off the net; nobody is told."""
        _ip(f"link set port{host} down")

    def join(self, host: int) -> None:
        """Take it back."""
        _ip(f"link set port{host} up")


def _ip(words: str) -> None:
    subprocess.run(["ip", *words.split()], check=True)
