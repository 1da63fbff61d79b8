"""What of a URL may be written down: in messages, logs, `run.json`, fingerprints. The secrets in it may not.

Nobody can list what servers call their secrets. So what is kept of a URL is its scheme, host and path, and of its
parameters those that are known to say which file or part of one is meant.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

_HARMLESS = frozenset(
    (
        "version",
        "versionid",
        "v",
        "generation",
        "revision",
        "file",
        "filename",
        "format",
        "f",
        "time",
        "datetime",
        "bands",
        "band",
        "bidx",
        "expand",
        "if",
        "ovr",
        "sd_name",
        "layer",
        "layers",
        "collection",
        "collections",
        "item",
        "items",
        "asset",
        "assets",
        "bbox",
        "crs",
        "srs",
        "service",
        "request",
        "coverage",
        "coverageid",
        "width",
        "height",
        "resolution",
        "scale",
        "z",
        "x",
        "y",
        "limit",
        "page",
        "year",
        "month",
        "day",
        "date",
    )
)
"""Names of parameters, in lower case, that say what of a server's is meant."""
_VALUE = re.compile(r"[\w.,:+/@-]{0,80}")
"""What such a parameter may hold: no URL with parameters of its own, nothing as long as a signature."""

_URL = re.compile(r"(?:[A-Za-z][\w+.-]*://|/vsi\w+[/?])[^\s'\"<>|]*", re.IGNORECASE)
_NAMED = re.compile(r"[?#;&][^\s'\"<>|?#;&=]+=[^\s'\"<>|]*")
"""Parameters of what begins with no scheme, or follows a blank in a URL."""
_USER = re.compile(r"(?<=://)(?:[^\s/?#'\"]+@|[^\s/@:?#]+:(?!//|\d+(?:[/?#]|$))[^\s@?#'\"]*@)")
_ENCODED = re.compile(r"%(?:25)*(?:3F|23|3B|26)[^/]*?%(?:25)*3D.*", re.IGNORECASE)
"""Parameters of a URL that is a part of another one's path, encoded."""
_ENCODED_USER = re.compile(
    r"%(?:25)*3A(?:%(?:25)*2F){2}(?:(?!%(?:25)*2F)[^/?])*?(?:%(?:25)*40|@)", re.IGNORECASE
)
_CUT = re.compile(r"[?#&]|;(?=[^/?#&;]*=)")
_OF_PATH = re.compile(r";[^/?#&]*")
_SEPARATOR = re.compile(r"[?#&;]")
_END = re.compile(r"[.,:;!)\]}]*$")
"""Ends a sentence, or a part of one, and not a URL."""


def redacted(text: str) -> str:
    """Return a text whose URLs have lost user, password, and parameters that may say who asks.

    What is left is the same for the same file however often its URL is signed anew, so that a run may be resumed.
    """
    return _NAMED.sub(_harmless, _URL.sub(_public, text))


def redacted_value(value: Any) -> Any:
    """Return a JSON value whose texts have been through `redacted`."""
    if isinstance(value, Mapping):
        return {name: redacted_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_value(one) for one in value]
    return redacted(value) if isinstance(value, str) else value


def is_url(href: str) -> bool:
    """Return whether a name is that of something remote, in any spelling, which may hold secrets."""
    return _URL.match(href) is not None


def _public(found: re.Match[str]) -> str:
    whole = found[0]
    end = _END.search(whole)
    body, rest = (whole[: end.start()], whole[end.start() :]) if end else (whole, "")
    body = _USER.sub("", body)
    cut = _CUT.search(body)
    path, parameters = (body[: cut.start()], body[cut.start() :]) if cut else (body, "")
    path = _ENCODED.sub("", _OF_PATH.sub("", path))
    path = _ENCODED_USER.sub(lambda user: re.match(r"%(?:25)*3A(?:%(?:25)*2F){2}", user[0], re.I)[0], path)  # type: ignore[index]
    return f"{path}{_kept(parameters)}{rest}"


def _harmless(found: re.Match[str]) -> str:
    return _kept(found[0])


def _kept(parameters: str) -> str:
    """Return the harmless ones of a URL's parameters; an encoded URL among them loses its own secrets."""
    kept = []
    for parameter in _SEPARATOR.split(parameters):
        name, _, value = parameter.partition("=")
        plain = _decoded(value)
        if name.lower() == "url" and is_url(plain):
            inner = re.sub(r"[\s'\"<>|]", "%20", plain)  # or it would seem to end there
            kept.append(f"{name}={quote(redacted(inner), safe='')}")
        elif name.lower() in _HARMLESS and _VALUE.fullmatch(value) and "://" not in plain:
            kept.append(parameter)
    return f"?{'&'.join(kept)}" if kept else ""


def _decoded(value: str) -> str:
    """Return a value decoded until it stays as it is: URLs may have been encoded more than once."""
    while (once := unquote(value)) != value:
        value = once
    return value
