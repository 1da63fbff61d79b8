"""From an address to a client of the scheduler there; what stands in the way of it is one sentence.

Dask's own client tries again until its time is up, whatever the reason, and then says that it is up. So the door is
knocked at first, with one connection.
"""

import socket
import ssl

import dask
from distributed import Client
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.security import Security

from rsmtl.errors import InputError

TIMEOUT_S = 10.0
_SILENCE_S = 2.0
"""A scheduler without TLS speaks first; one that is silent for so long is asked whether it has TLS."""
_FRAMES = 2**16
"""Less than any text makes as a number of eight bytes."""
_SETTINGS = "distributed.comm.tls.ca-file, client.cert and client.key"


def connect(address: str) -> Client:
    """Connect to a scheduler, with the certificates of Dask's configuration where the address is `tls://…`.

    Raises
    ------
    InputError
        If the address is wrong, no scheduler answers there, it has TLS and the address has not (or the other way
        round), certificates are missing or unusable, or it refuses them.
    """
    _knock(address)
    try:
        return Client(address, timeout=TIMEOUT_S)
    except (OSError, ValueError) as error:
        raise _nobody_answers(address) from error
    except RuntimeError as error:  # require-encryption, and an address without
        raise InputError(
            f"Dask's configuration asks for encryption, {address!r} has none: give an address that begins with tls://"
        ) from error


def _knock(address: str) -> None:
    """Raise an `InputError` if no connection of the address's kind comes about; others than TCP's pass."""
    try:
        scheme, location = parse_address(address)
        if scheme not in ("tcp", "tls") or dask.config.get("distributed.client.security-loader"):
            return
        door = parse_host_port(location)
        with socket.create_connection(door, TIMEOUT_S) as connection:
            if scheme == "tls":
                _greet(address, connection, _certificates(address))
            elif not _hears(connection, _SILENCE_S):
                _refuse_tls(address, door)
                if not _hears(connection, TIMEOUT_S):
                    raise _nobody_answers(address)
    except (OSError, ValueError, OverflowError) as error:
        raise _nobody_answers(address) from error


def _nobody_answers(address: str) -> InputError:
    return InputError(f"no Dask scheduler answers at {address!r}: start one, or mend the address")


def _certificates(address: str) -> ssl.SSLContext:
    """Return what Dask's configuration has for TLS."""
    try:
        context = Security().get_connection_args("client")["ssl_context"]
    except (
        OSError,
        ValueError,
    ) as error:  # a file that is missing, or is no certificate; ssl's errors are OSErrors
        names = (
            dask.config.get(f"distributed.comm.tls.{name}")
            for name in ("ca-file", "client.cert", "client.key")
        )
        raise InputError(
            f"the TLS certificates of Dask's configuration cannot be used ({_reason(error)}): mend {_SETTINGS}, which "
            f"name {', '.join(map(str, filter(None, names)))}"
        ) from error
    if context is None:
        raise InputError(
            f"{address!r} wants TLS, and Dask's configuration has no certificates: set {_SETTINGS}, or the like of "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE in the environment"
        )
    assert isinstance(context, ssl.SSLContext)
    return context


def _greet(address: str, connection: socket.socket, certificates: ssl.SSLContext) -> None:
    """Shake hands; that our certificate is refused we learn only from the first thing that is read."""
    try:
        with certificates.wrap_socket(connection) as encrypted:
            accepted = _hears(encrypted, TIMEOUT_S)
    except ssl.SSLError as error:
        raise _not_trusted(address, error) from error
    except ConnectionError:
        accepted = False
    if not accepted:
        raise _refused(address, "it hung up")


def _not_trusted(address: str, error: ssl.SSLError) -> InputError:
    said = error.reason or ""
    if "WRONG_VERSION" in said or "UNEXPECTED" in said or "RECORD_LAYER" in said:
        return InputError(
            f"the scheduler at {address!r} has no TLS: give its address with tcp://, or mend it"
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return InputError(
            f"the certificate of the scheduler at {address!r} is not to be trusted ({error.verify_message}): "
            "set distributed.comm.tls.ca-file to the authority that signed it"
        )
    return _refused(address, _reason(error))


def _refused(address: str, reason: str) -> InputError:
    return InputError(
        f"the scheduler at {address!r} refuses our certificate ({reason}): set {_SETTINGS} in Dask's configuration to "
        "one of the authority that it trusts"
    )


def _hears(connection: socket.socket, longest_s: float) -> bool:
    """Whether the other side speaks as schedulers do: first, and a small number of frames."""
    connection.settimeout(longest_s)
    try:
        n_frames = connection.recv(8)
    except TimeoutError:
        return False
    return bool(n_frames) and int.from_bytes(n_frames, "little") < _FRAMES


def _refuse_tls(address: str, door: tuple[str, int]) -> None:
    """Raise an `InputError` if TLS is spoken at a door, with whatever certificate."""
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE
    try:
        with socket.create_connection(door, _SILENCE_S) as connection, anyone.wrap_socket(connection):
            pass
    except OSError:
        return
    raise InputError(
        f"the scheduler at {address!r} has TLS: give its address with tls:// in the place of tcp://, and certificates "
        f"by Dask's configuration ({_SETTINGS})"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return " ".join(str(error).split()).rstrip(".")
