"""Preloaded by Dask workers: at their end they say whether anything made them import Prefect."""

import os
import sys
from pathlib import Path
from typing import Any

FOLDER = "RSMTL_WITNESS"


def dask_teardown(_worker: Any) -> None:
    """Leave a file that says so."""
    Path(os.environ[FOLDER], str(os.getpid())).write_text(str("prefect" in sys.modules))
