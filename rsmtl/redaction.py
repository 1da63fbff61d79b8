"""What of a URL may be written down: in messages, logs, `run.json`, fingerprints. The secrets in it may not."""

import re
from collections.abc import Mapping
from typing import Any

_USER = re.compile(r"(?<=://)[^/?#\s'\"]+@")
_QUERY = re.compile(r"\?([^\s'\"#?]*=[^\s'\"#]*)")
_SECRET = re.compile(
    r"^x-(amz|goog|oss)-|^sk(oid|tid|t|e|s|v)$"
    r"|token|secret|passw|signature|credential|api-?_?key|access-?_?key|subscription-?_?key"
    r"|^(sig|key|auth|authorization|expires|policy|key-pair-id|googleaccessid)$",
    re.IGNORECASE,
)
"""Names of parameters that sign a URL or say who asks."""
_SAS = frozenset(("sv", "ss", "srt", "sp", "se", "st", "spr", "sr", "sip", "sdd"))
"""What else is in a URL that has a `sig`, as Azure signs them; by themselves these names may mean anything."""


def redacted(text: str) -> str:
    """Return a text whose URLs have lost user, password and what signs them.

    What is left is the same for the same file however often its URL is signed anew, so that a run may be resumed.
    """
    return _QUERY.sub(_public, _USER.sub("", text))


def redacted_value(value: Any) -> Any:
    """Return a JSON value whose texts have been through `redacted`."""
    if isinstance(value, Mapping):
        return {name: redacted_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_value(one) for one in value]
    return redacted(value) if isinstance(value, str) else value


def _public(query: re.Match[str]) -> str:
    parameters = {parameter: parameter.partition("=")[0].lower() for parameter in query[1].split("&")}
    signed = "sig" in parameters.values()
    kept = [p for p, name in parameters.items() if not _SECRET.search(name) and not (signed and name in _SAS)]
    return f"?{'&'.join(kept)}" if kept else ""
