"""Whether each source can be opened everywhere, and is the same there."""

from collections.abc import Iterator, Mapping
from typing import Any

from rsmtl.doctor.finding import HERE, Finding


def look_for_scene(source: Any) -> dict[str, Any]:
    """Return the first scene of a source, unopened: a catalogue has many."""
    from rsmtl.scene.open import scene_refs

    ref = next(iter(scene_refs(source)))
    return {"id": ref.id, "source": ref.source}


def look_at_scene(source: Any, assets: Any) -> dict[str, list[Any]]:
    """Open a scene, and return size and version of its files."""
    from rsmtl.scene.open import open_scene
    from rsmtl.scene.sources import everywhere

    return {file.href: list(everywhere(file)) for file in open_scene(source, assets).sources}


def name_of(source: Any) -> str:
    """Name a source as it was given."""
    return (
        ", ".join(f"{name}={href}" for name, href in source.items())
        if isinstance(source, Mapping)
        else str(source)
    )


def judge_source(name: str, scene: str, found: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Compare a scene's files with those that are seen here."""
    ours = found.get(HERE)
    which = name if scene in name else f"scene {scene!r} of {name}"
    for place, theirs in found.items():
        differing = [href for href in theirs if ours is not None and theirs[href] != ours.get(href)]
        if not differing:
            yield Finding("source", f"{which} can be opened", where=(place,))
            continue
        yield Finding(
            "source",
            f"{differing[0]} is another file than here ({_told(theirs[differing[0]])}; {_told(ours, differing[0])} "
            "here)",
            "mend",
            "put the same file there, or mount the same folder",
            where=(place,),
        )


def _told(found: Any, href: str | None = None) -> str:
    size, version = found if href is None else (found or {}).get(href, (None, ""))
    known = f"{size:,} bytes" if size is not None else "size not known"
    return f"{known}, version {version}" if version else known
