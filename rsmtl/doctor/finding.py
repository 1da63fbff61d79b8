"""What was found of an environment, and what to do about it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from rsmtl.redaction import redacted

Verdict = Literal["ok", "note", "mend"]
"""`note`: worth knowing, runs will do; `mend`: runs will fail, or not give what is asked of them."""

HERE = "here"
"""Where the command runs; other places are named by the survey."""

_NAMED = 2
"""Places that are named; of more, their number is."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found; secrets in URLs are left out of its sentences."""

    what: str
    """Was looked at: `versions`."""
    found: str
    verdict: Verdict = "ok"
    todo: str = ""
    """What to do; goes on after `found` and a colon."""
    where: tuple[str, ...] = (HERE,)

    def __post_init__(self) -> None:
        for name in ("what", "found", "todo"):
            object.__setattr__(self, name, redacted(getattr(self, name)))


def sentence(one: Finding, everybody: Collection[str]) -> str:
    """Say where, what and what to do, in one; `everybody` is all the places that were looked at."""
    told = f"{places(one.where, everybody)}: {one.found}"
    return f"{told}: {one.todo}" if one.todo else told


def places(where: Iterable[str], everybody: Collection[str]) -> str:
    """Name places: `here, scheduler and all workers`."""
    named = tuple(where)
    workers, all_workers = ({name for name in some if "://" in name} for some in (named, everybody))
    if len(all_workers) > 1 and set(named) >= {*all_workers, HERE}:
        return "everywhere"
    parts = [name for name in named if name not in workers]
    if len(all_workers) > 1 and workers == all_workers:
        parts.append("all workers")
    elif len(workers) > _NAMED:
        parts.append(f"{len(workers)} workers ({min(workers)}, …)")
    else:
        parts += sorted(workers)
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def together(findings: Iterable[Finding]) -> list[Finding]:
    """Make one of findings that differ in their places only."""
    found: dict[tuple[str, ...], Finding] = {}
    for one in findings:
        key = (one.what, one.found, one.verdict, one.todo)
        where = found[key].where + one.where if key in found else one.where
        found[key] = Finding(*key, where=where)
    return list(found.values())
