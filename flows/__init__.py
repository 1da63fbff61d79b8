"""Prefect flows: whole catalogues, and the demo. Nothing in `rsmtl` knows them."""

import os

# Both are read at import, so they must stand before Prefect and Dask are imported, here and in worker processes.
os.environ.setdefault("DO_NOT_TRACK", "1")  # Prefect reports its first import on a terminal to its makers
os.environ.setdefault(
    "DASK_LOGGING__DISTRIBUTED", "warning"
)  # Prefect's handlers print what Dask says at "info"
