"""`write`: a scene's whole product, on the disk, resumable, with its STAC item last."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rsmtl.config import Settings
from rsmtl.lattice import Chunk
from rsmtl.models.model import Model
from rsmtl.predict.cost import check_fits, cost
from rsmtl.predict.drain import Progress, drain
from rsmtl.predict.executor import Executor, SerialExecutor
from rsmtl.predict.plan import Plan, plan
from rsmtl.scene.scene import Scene
from rsmtl.store.folder import product_folder
from rsmtl.store.ledger import Ledger
from rsmtl.store.zarr import create_store


@dataclass(frozen=True)
class Product:
    """What `write` leaves and how it came to be."""

    folder: Path
    reused: bool
    """True if the very product stood already and nothing was run."""
    windows_run: int
    """By this call; a resumed run does not count what the first one ran."""
    n_windows: int
    """Run over the whole product's life: those of the lattice with a valid pixel."""
    seconds: float


def write(
    scene: Scene,
    model: Model,
    out: Path,
    settings: Settings | None = None,
    *,
    executor: Executor | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    order: list[Chunk] | None = None,
) -> Product: ...
