"""`metrics.json`: what a product was found to be worth, after it was made."""

import json
import math
from collections.abc import Mapping
from typing import Any

from rsmtl.store.folder import METRICS_NAME
from rsmtl.store.place import Place, write_text


def write_metrics(folder: Place, metrics: Mapping[str, Any]) -> None:
    """Write `metrics.json` beside a product's other files; what stands is replaced.

    Parameters
    ----------
    metrics
        Results by head, as `plain` returns them.

    Raises
    ------
    RunError
        If it cannot be written.
    """
    write_text(folder / METRICS_NAME, json.dumps(metrics, indent=2))


def plain(value: Any) -> Any:
    """Return nested results with None for the numbers that JSON does not have: NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
