"""What lets workers and clients into a cluster, and nobody else: a certificate that only its owner can read.

Whoever reaches a scheduler or a worker can run code there. So every recipe makes a certificate of its own, which all
sides must show; it is gone when the cluster is.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from distributed.security import Security

from rsmtl.errors import InputError

FOLDER = Path("rsmtl-cluster")
ADDRESS = "address"
"""File with the scheduler's address: `--scheduler "$(cat rsmtl-cluster/address)"`. It comes with the first worker."""
CONFIG = "dask.yaml"
"""What Dask must be told, by DASK_CONFIG, to use the certificate."""
_CERTIFICATE = "certificate.pem"
_ROLES = ("scheduler", "worker", "client")


@contextmanager
def access(folder: Path) -> Iterator[Security]:
    """Make a folder with a new certificate, and remove it with the block.

    Raises
    ------
    InputError
        If the folder is there already, or cannot be made.
    """
    folder = folder.absolute()
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError as error:
        raise InputError(
            f"{folder} is there already: another cluster has it, or left it behind when it was killed; remove it, or "
            "name another by --access"
        ) from error
    except OSError as error:
        raise InputError(
            f"the folder {folder} cannot be made ({(error.strerror or '').lower()}): name another by --access"
        ) from error
    made, path = Security.temporary(), folder / _CERTIFICATE
    certificate = f"{made.tls_client_key}{made.tls_client_cert}"
    try:
        yield _written(folder, certificate)
    finally:  # where somebody removed it, another cluster may have its place
        if not path.exists() or path.read_text() == certificate:
            shutil.rmtree(folder, ignore_errors=True)


def tell_address(folder: Path, address: str) -> None:
    """Write the scheduler's address, for scripts that wait for it; the file appears whole."""
    new = folder / f".{ADDRESS}"
    new.write_text(f"{address}\n")
    new.replace(folder / ADDRESS)


def _written(folder: Path, certificate: str) -> Security:
    """Write key and certificate into one file, and what Dask must know of it into another.

    One certificate is its own authority and serves all sides, as with a cluster that Dask secures by itself; but that
    one is in the memory of a single process.
    """
    path = folder / _CERTIFICATE
    path.touch(mode=0o600)
    path.write_text(certificate)
    tls = {"ca-file": str(path)} | {role: {"cert": str(path), "key": str(path)} for role in _ROLES}
    comm = {"require-encryption": True, "tls": tls}
    (folder / CONFIG).write_text(yaml.safe_dump({"distributed": {"comm": comm}}))
    files = {f"tls_{role}_{part}": str(path) for role in _ROLES for part in ("cert", "key")}
    return Security(require_encryption=True, tls_ca_file=str(path), **files)
