"""What a library said when it failed, in one line, for a message of ours."""

import re


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
