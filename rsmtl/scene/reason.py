"""What a library said when it failed, in one line, for a message of ours."""

import re

_REFUSED = re.compile(
    r"(HTTP response code|HTTP error code|status)\W*(401|403|409)\b|AccessDenied|Access Denied|AuthenticationFailed|"
    r"ExpiredToken|InvalidAccessKeyId|PublicAccessNotPermitted|SignatureDoesNotMatch"
)
"""How servers and object stores say, through GDAL and fsspec, that somebody may not read."""

CREDENTIALS = (
    "give credentials that may read it (`AWS_…` and the like, on every worker), or a freshly signed URL"
)
"""What to do about it."""


def reason(error: BaseException) -> str:
    """Return the last line of an error's text, or its class where it has none.

    rasterio keeps what GDAL said in the cause of an error that only says 'see previous exception', and stackstac
    that error in the cause of another; GDAL begins with the file's name, which our messages give already.
    """
    cause = error.__cause__ if error.__cause__ is not None else error
    while "previous exception" in str(cause) and cause.__cause__ is not None:
        cause = cause.__cause__
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    said = re.sub(r"^'.*' ", "", lines[-1]).rstrip(".") if lines else ""
    return said or type(cause).__name__


def is_refusal(error: BaseException) -> bool:
    """Whether a server knows the file and lets nobody read it without leave: it is neither gone nor damaged."""
    found: BaseException | None = error
    while found is not None:
        if getattr(found, "status", None) in (401, 403, 409) or isinstance(found, PermissionError):
            return True
        if _REFUSED.search(str(found)):
            return True
        found = found.__cause__
    return False
