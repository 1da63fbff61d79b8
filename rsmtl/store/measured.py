"""`metrics.json`: what a product was found to be worth, after it was made."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rsmtl.store.folder import METRICS_NAME, replacing


def write_metrics(folder: Path, metrics: Mapping[str, Any]) -> None:
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
    with replacing(folder / METRICS_NAME) as part:
        part.write_text(json.dumps(metrics, indent=2), encoding="utf-8")


def plain(value: Any) -> Any:
    """Return nested results with None for the numbers that JSON does not have: NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
