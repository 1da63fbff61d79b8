"""What `predict` and `verify` do for one scene, without the command line: `open_scene`, `write`, and `verify`."""

import json
import sys
from functools import cache
from pathlib import Path

from rsmtl.cli.quiet import quiet
from rsmtl.cli.report import one_line
from rsmtl.cli.sources import read_assets, read_sources
from rsmtl.config import Settings
from rsmtl.engine.product import write
from rsmtl.engine.verify import verify
from rsmtl.errors import RsmtlError, RunError
from rsmtl.models.checkpoint import load_model
from rsmtl.scene.open import open_scene, scene_refs

SETTINGS = Settings(window=128, overlap=16)

_loaded = cache(load_model)


@quiet()
def make(model: str, out: str, source: str, *assets: str) -> int:
    """Make the products of a source; says what is wrong as the command line does."""
    name = ""
    try:
        (given,) = read_sources([source])
        for ref in scene_refs(given):
            name = ref.id
            scene = open_scene(ref.source, read_assets(assets))
            name = scene.id
            write(scene, _loaded(model), out, SETTINGS)
    except RsmtlError as error:
        return _fail(name, error)
    return 0


@quiet()
def check(folder: str) -> int:
    """Verify a product and one of its chunks."""
    try:
        found = verify(Path(folder), 1)
        if found.torn or found.damaged or found.differing:
            raise RunError(f"differs: {found}")
    except RsmtlError as error:
        return _fail("", error)
    return 0


def _fail(subject: str, error: RsmtlError) -> int:
    print(f"{subject}: {one_line(error)}", file=sys.stderr)
    print(json.dumps({"errors": [{"type": type(error).__name__, "message": one_line(error)}]}))
    return error.exit_status
