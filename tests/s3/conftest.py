"""An S3 server of the tests' own, and the environment in which programs find it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import s3fs

SECRET = "a-secret-that-nobody-may-read"
NOBODY = {
    "AWS_ACCESS_KEY_ID": "somebody",
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@contextmanager
def s3_server(*options: str) -> Iterator[dict[str, str]]:
    """Start a server, and give the environment in which it is found."""
    command = [sys.executable, "-m", "tests.s3.server", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    ) as process:
        try:
            yield {**NOBODY, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{int(process.stdout.readline())}"}
        finally:
            process.kill()
            s3fs.S3FileSystem.clear_instance_cache()  # whose key is not the environment: the next would ask this one


@pytest.fixture(scope="session")
def store() -> Iterator[None]:
    """A store that this process, and those that it starts, find by their environment."""
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def bucket(store: None) -> str:
    """URL of an empty bucket."""
    url = f"s3://{uuid4().hex}"
    s3fs.S3FileSystem(use_listings_cache=False).mkdir(url)
    return url


def files(url: str) -> dict[str, bytes]:
    """All that stands under a URL, by name."""
    system = s3fs.S3FileSystem(use_listings_cache=False)
    root = url.removeprefix("s3://").rstrip("/") + "/"
    return {name.removeprefix(root): system.cat_file(name) for name in system.find(root)}


def upload(folder: Path, url: str) -> None:
    """Put a folder's files under a URL."""
    s3fs.S3FileSystem(use_listings_cache=False).put(f"{folder}{os.sep}", f"{url}/", recursive=True)
