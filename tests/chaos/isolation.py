"""A network and mounts of one's own, where the machine allows it; both are gone when the last process in them is."""

import os
import subprocess
import sys
from collections.abc import Sequence

_INSIDE = "RSMTL_CHAOS_ISOLATED"
_WAYS = (
    ("unshare", "--mount", "--net"),
    ("unshare", "--mount", "--net", "--user", "--map-root-user"),
)
_PROBE = """
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add probe type bridge
ip netns add probe
ip link add port type veth peer name eth0 netns probe
"""
"""All that `network` and `disk` will do; `/run` is covered, so that names of network namespaces are ours alone."""


def enter(module: str, arguments: Sequence[str]) -> str | None:
    """Go on as the same command in a network and with mounts of one's own; return why that cannot be, or None."""
    if _INSIDE in os.environ:
        return os.environ.pop(_INSIDE) or None
    why = "unshare and ip are not installed"
    for way in _WAYS:
        try:
            probe = subprocess.run([*way, "sh", "-ec", _PROBE], capture_output=True, text=True)
        except FileNotFoundError:
            break
        if probe.returncode == 0:
            os.environ[_INSIDE] = ""
            prepared = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"'
            words = [*way, "sh", "-c", prepared, "sh", sys.executable, "-m", module, *arguments]
            os.execvp(words[0], words)
        why = " ".join(probe.stderr.split()) or why
    return why
