"""Whether one job of a model has the memory it needs, on each worker."""

from collections.abc import Iterator, Sequence
from typing import Any

from rsmtl.dispatch.survey import SCHEDULER, Post
from rsmtl.doctor.finding import HERE, Finding
from rsmtl.units import size


def look_at_job(find_model: Any, source: Any, assets: Any, device: str) -> dict[str, Any]:
    """Return what a plan of a scene says that one job needs, and the product takes."""
    from rsmtl.config import Settings
    from rsmtl.engine.cost import costs_of
    from rsmtl.errors import RsmtlError
    from rsmtl.scene.open import SceneRef

    settings = Settings.model_validate({"device": device, "batch": 1 if device == "cuda" else None})
    ((name, found),) = costs_of([SceneRef("", source)], assets, find_model, settings)
    if isinstance(found, RsmtlError):
        raise found
    return {"scene": name, "worker_bytes": found.worker_bytes, "written_bytes": found.written_bytes}


def judge_job(model: str, seen: dict[str, Any], posts: Sequence[Post], slot_bytes: int) -> Iterator[Finding]:
    """Compare what a job needs with what each thread of each worker has; here, without workers, with `slot_bytes`."""
    needed = seen["worker_bytes"]
    told = f"a job of {model} on scene {seen['scene']!r} needs {size(needed)}"
    slots = {p.name: p.memory_limit_bytes // p.n_threads for p in posts if p.name != SCHEDULER}
    for place, slot in (slots or ({HERE: slot_bytes} if slot_bytes else {})).items():
        if not slot:
            yield Finding("job", f"{told}; the worker has no limit", where=(place,))
        elif needed > slot:
            yield Finding(
                "job",
                f"{told}, and a thread has {size(slot)}",
                "mend",
                "use workers with fewer threads or more memory, or a smaller `--chunk` or `--window`",
                where=(place,),
            )
        else:
            yield Finding("job", f"{told} of the {size(slot)} that a thread has", where=(place,))
