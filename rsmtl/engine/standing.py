"""Whether a scene's product stands already, found out without opening a raster: nightly runs find most of them so."""

from collections.abc import Mapping

from pydantic import ValidationError

from rsmtl.config import Settings
from rsmtl.engine.classical import ModelFinder
from rsmtl.engine.plan import fingerprinted_software
from rsmtl.errors import RsmtlError
from rsmtl.models.model import Model
from rsmtl.redaction import redacted_value
from rsmtl.scene.open import Assets, opened_with, scene_id
from rsmtl.scene.open import Source as WhatToOpen
from rsmtl.scene.profiles import Offset
from rsmtl.scene.scene import SourceFile
from rsmtl.scene.sources import source_now
from rsmtl.store.folder import product_folder
from rsmtl.store.item import finished
from rsmtl.store.ledger import Ledger
from rsmtl.store.place import Place
from rsmtl.store.provenance import Run, Source, read_run


def standing(
    out: Place,
    source: WhatToOpen,
    assets: Assets | None,
    find_model: ModelFinder,
    settings: Settings,
    offset: Offset = "item",
    *,
    allow_no_crs: bool = False,
) -> tuple[Place, Run] | None:
    """Return folder and record of the finished product of a source, if the same would be made again; else None.

    What a product's fingerprint holds follows from what is compared here: the arguments that open the scene, its files
    by size and time or etag, the model, the settings and the software. None says no more than that it is not certain:
    `write` then decides.
    """
    try:
        name = scene_id(source)
        if name is None:
            return None
        folder = product_folder(out, name)
        fingerprint = finished(folder)
        if fingerprint is None:
            return None
        run = read_run(folder)
        same = (
            run.fingerprint == fingerprint
            and run.opened_with
            == redacted_value(opened_with(source, assets, offset, allow_no_crs=allow_no_crs))
            and find_model.made(run.model_source, run.model_sha256)
            and _same_settings(run.settings, settings)
            and fingerprinted_software().items() <= run.software.items()
            and all(map(_certainly_unchanged, run.sources))
        )
    except RsmtlError:
        return None
    return (folder, run) if same else None


def _certainly_unchanged(then: Source) -> bool:
    source = SourceFile(**then.model_dump())
    return source.version != "" and source_now(source) == source


def taken_up(settings: Settings, folder: Place, model: Model) -> Settings:
    """Return settings with what they leave open as it is in the run that a folder holds, if that agrees with the rest.

    What would be chosen anew may differ on another machine, and the run be refused for it.
    """
    then = Ledger(folder).fingerprint() or {}
    if then.get("model") != model.sha256 or not _same_settings(then.get("settings"), settings):
        return settings
    try:
        return Settings.model_validate(then["settings"])
    except ValidationError:  # the file is damaged, which whoever takes up the run will find out
        return settings


def _same_settings(then: object, now: Settings) -> bool:
    """Compare settings; what is left open now is as it was then, whoever chose it."""
    asked = now.model_dump(mode="json")
    left_open = {name: None for name, value in asked.items() if value is None}
    return isinstance(then, Mapping) and {**then, **left_open} == asked
