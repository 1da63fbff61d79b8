"""How GDAL is asked for a file: its own name for it, and its settings."""

import os
from typing import Any
from urllib.parse import urlparse

BLOCK_CACHE_BYTES = 64 * 2**20
"""GDAL's cache of decoded blocks, for the whole process; its own default, 5 % of the machine's memory, would let
a worker's memory grow with the scene."""

_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": BLOCK_CACHE_BYTES,
    "GDAL_HTTP_CONNECTTIMEOUT": 10,
    "GDAL_HTTP_TIMEOUT": 60,
    "GDAL_HTTP_LOW_SPEED_TIME": 20,  # of silence, which no retry follows
    "GDAL_HTTP_LOW_SPEED_LIMIT": 1,
    "GDAL_HTTP_MAX_RETRY": 3,
    "GDAL_HTTP_RETRY_DELAY": 0.5,
}

STORES = {
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "gcs": "/vsigs/",
    "az": "/vsiaz/",
    "abfs": "/vsiaz/",
    "abfss": "/vsiaz/",
    "oss": "/vsioss/",
    "swift": "/vsiswift/",
}
"""GDAL's prefixes for object stores, by the scheme of URLs."""

_OPTIONS["CPL_VSIL_CURL_NON_CACHED"] = ":".join(("/vsicurl/", *dict.fromkeys(STORES.values())))
# GDAL's memory of a URL would outlive the file, in workers that stand for weeks.


def is_remote(href: str) -> bool:
    """Return whether a path is a URL of something that is not a local file."""
    return urlparse(href).scheme not in ("", "file") and "://" in href


def gdal_name(href: str) -> str:
    """Return what GDAL calls a file: `/vsis3/bucket/key` for `s3://bucket/key`; others keep their names."""
    scheme, found, rest = href.partition("://")
    return f"{STORES[scheme]}{rest}" if found and scheme in STORES else href


def gdal_options(href: str) -> dict[str, Any]:
    """Return GDAL's settings for a file.

    Side files (`.msk`, `.aux.xml`) are looked for beside local files, by name. On a server each would cost a
    request that nearly always finds nothing. Credentials GDAL takes from the environment by itself, but of
    `AWS_ENDPOINT_URL`, which names an S3 store that is not Amazon's, GDAL 3.10 knows nothing.
    """
    options = {**_OPTIONS, "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR" if is_remote(href) else "TRUE"}
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if not href.startswith("s3://") or not endpoint:
        return options
    found = urlparse(endpoint)
    return options | {
        "AWS_S3_ENDPOINT": f"{found.netloc}{found.path}".rstrip("/"),
        "AWS_HTTPS": "NO" if found.scheme == "http" else "YES",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }
