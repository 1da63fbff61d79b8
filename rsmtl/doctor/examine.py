"""All checks of an environment, one after the other: each has a limit of time, and none ends the others."""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from rsmtl.dispatch.survey import SCHEDULER, Post, Survey
from rsmtl.doctor import clock, devices, jobs, libraries, machine, output, sources, versions
from rsmtl.doctor.finding import HERE, Finding, together
from rsmtl.doctor.look import LIMIT_S, by_value, look
from rsmtl.doctor.places import Places
from rsmtl.redaction import redacted

_READINGS = 3
"""Of each clock: the quickest tells most."""


@dataclass(frozen=True)
class Wanted:
    """What a run would be given."""

    sources: Sequence[Any] = ()
    assets: Any = None
    out: str | None = None
    """A URL, or an absolute path."""
    model: str = ""
    find_model: Any = None
    """Finds the model; None if none is named."""
    device: str = "cpu"
    slot_bytes: int = 0
    """Memory of a thread of this process, which does the work if there is no cluster."""
    limit_s: float = LIMIT_S
    """Of each look."""


def examine(
    wanted: Wanted, survey: Survey | None = None, tell: Callable[[str], None] = lambda what: None
) -> list[Finding]:
    """Look at everything that a run needs, here and, where there is a cluster, on its scheduler and workers.

    Parameters
    ----------
    tell
        Called with what is looked at next.
    """
    with by_value():
        examination = _Examination(wanted, survey)
        for what, check in examination.checks.items():
            tell(what)
            check()
    return together(examination.places.findings)


class _Examination:
    """What was found so far, and who can still be asked."""

    def __init__(self, wanted: Wanted, survey: Survey | None) -> None:
        self.checks: dict[str, Callable[[], None]] = {
            "versions": self._versions,
            "clocks": self._clocks,
            "machines": self._machines,
            "devices": self._devices,
            "libraries": self._libraries,
            "sources": self._sources,
            "output": self._output,
        }
        self._wanted, self.places = wanted, Places(survey, wanted.limit_s)
        self._written_bytes = 0
        """By one product, at most."""
        if survey and not self.places.workers:
            self.places.add(
                Finding("cluster", "has no workers", "mend", "start some with `dask worker`", (SCHEDULER,))
            )

    def _versions(self) -> None:
        names = versions.PACKAGES
        ours = self.places.here("versions", versions.look_at_versions, (*names, *versions.EXTRAS))
        if ours is None:
            return
        self._same_python(ours["Python"])
        found = {HERE: ours} | self.places.there(
            "versions",
            self.places.posts,
            versions.look_at_versions,
            lambda post: ((*names, *versions.EXTRAS),),
        )
        self.places.lacking = {
            place: {name for name, version in seen.items() if version == versions.MISSING}
            for place, seen in found.items()
        }
        self.places.add(*versions.judge_versions(found, names), *versions.judge_extras(ours))
        self.places.there(
            "import", self.places.having(versions.SOURCE, self.places.posts), versions.look_at_import
        )

    def _same_python(self, ours: str) -> None:
        """Ask no more who has another Python: code that travels would not run there, or end it."""
        told = self.places.survey.pythons(self._wanted.limit_s).items() if self.places.survey else ()
        for post, answer in told:
            if self.places.answered(post, answer) and answer.value.split(".")[:2] != ours.split(".")[:2]:
                self.places.give_up(post)
                text, todo = f"Python is {answer.value}, {ours} here", "use the same Python in both places"
                self.places.add(
                    Finding("versions", f"{text}, and nothing else was looked at", "mend", todo, (post.name,))
                )

    def _clocks(self) -> None:
        spans: dict[str, list[tuple[float, float]]] = {}
        for _ in range(_READINGS):
            for post, answer in self.places.asked(self.places.posts, clock.look_at_clock).items():
                seen = (
                    self.places.taken("clock", post.name, answer.value)
                    if self.places.answered(post, answer)
                    else None
                )
                if seen is not None:
                    reading = clock.span(answer.asked_s, answer.came_s, seen, seen)
                    spans.setdefault(post.name, []).append(reading)
        self.places.add(*(clock.judge_clock(place, readings) for place, readings in spans.items()))

    def _machines(self) -> None:
        found = {HERE: self.places.here("machine", machine.look_at_machine, "")}
        found |= self.places.there(
            "machine", self.places.posts, machine.look_at_machine, lambda post: (post.folder,)
        )
        found = {place: seen for place, seen in found.items() if seen is not None}
        self.places.add(*machine.judge_machine(found, self.places.posts))
        threads = self.places.there(
            "threads", self.places.having("torch", self.places.workers), machine.look_at_threads
        )
        self.places.add(*machine.judge_threads(threads, found, self.places.workers))

    def _devices(self) -> None:
        cuda = self._wanted.device == "cuda"
        if self.places.survey is None:
            seen = self.places.here("GPUs", devices.look_at_devices, cuda)
            found = {} if seen is None else {HERE: seen}
        else:
            posts = self.places.having("torch", self.places.workers)
            found = self.places.there("GPUs", posts, devices.look_at_devices, lambda post: (cuda,))
        self.places.add(*devices.judge_devices(found, cuda))

    def _libraries(self) -> None:
        ours = self.places.here("GDAL", libraries.look_at_gdal)
        if ours is None:
            return
        posts = self.places.having("rasterio", self.places.workers)
        found = {HERE: ours} | self.places.there("GDAL", posts, libraries.look_at_gdal)
        self.places.add(*libraries.judge_gdal(found, ours["version"]))

    def _sources(self) -> None:
        wanted, posts = self._wanted, self.places.having(versions.SOURCE, self.places.workers)
        for n, source in enumerate(wanted.sources):
            scene = self.places.here("source", sources.look_for_scene, source)
            if scene is None:
                continue
            args = scene["source"], wanted.assets
            ours = self.places.here("source", sources.look_at_scene, *args)
            found = {} if ours is None else {HERE: ours}
            found |= self.places.there("source", posts, sources.look_at_scene, partial(_always, args))
            self.places.add(*sources.judge_source(sources.name_of(source), scene["id"], found))
            if n == 0 and ours is not None and wanted.find_model is not None:
                self._job(*args)

    def _job(self, source: Any, assets: Any) -> None:
        wanted = self._wanted
        seen = self.places.here("job", jobs.look_at_job, wanted.find_model, source, assets, wanted.device)
        if seen is not None:
            self._written_bytes = seen["written_bytes"]
            self.places.add(*jobs.judge_job(wanted.model, seen, self.places.workers, wanted.slot_bytes))

    def _output(self) -> None:
        if self._wanted.out is None:
            return
        out = self._wanted.out
        made = self.places.here("output", output.make_folders, out)
        if made is None:
            return
        posts = self.places.having(versions.SOURCE, self.places.workers)
        signs = {place: f".doctor.{uuid.uuid4().hex[:12]}.part" for place in (HERE, *(p.name for p in posts))}
        name, wrote = redacted(out), False
        try:
            free = look(self._wanted.limit_s, output.look_at_room, out).get("found")
            self.places.add(*output.judge_room(name, free, self._written_bytes))
            wrote = self._write(out, posts, signs)
        finally:
            left = look(self._wanted.limit_s, output.remove_signs, out, list(signs.values()))
            if wrote and left.get("found") != []:
                self.places.add(output.left_behind(name, signs.values()))
            look(self._wanted.limit_s, output.remove_folders, made)

    def _write(self, out: str, posts: Sequence[Post], signs: dict[str, str]) -> bool:
        """Write everywhere, see everywhere, remove where it was written; return whether it could be written here."""
        limit_s, name = self._wanted.limit_s, redacted(out)
        here = self.places.here("output", output.write_sign, out, signs[HERE], limit_s)
        if here is None:
            return False
        asked_s, came_s, told_s = here["span"]
        self.places.add(clock.judge_clock("store", [clock.span(asked_s, came_s, *clock.bounds(told_s))]))
        written = {HERE: here} | self.places.there(
            "output", posts, output.write_sign, lambda post: (out, signs[post.name], limit_s)
        )
        bad = {place: output.judge_written(place, name, seen) for place, seen in written.items()}
        self.places.add(*filter(None, bad.values()))
        able = [post for post in posts if post.name in bad and bad[post.name] is None]
        seen_here = self.places.here("output", output.see_signs, out, list(signs.values())) or []
        seen_there = self.places.there("output", able, output.see_signs, lambda post: (out, [signs[HERE]]))
        self.places.there("output", able, output.remove_signs, lambda post: (out, [signs[post.name]]))
        if bad[HERE] is None:
            places = [HERE, *seen_there]
            shared = {p: signs[p] in seen_here and bool(seen_there.get(p, True)) for p in places}
            self.places.add(*output.judge_shared(name, shared))
        return True


def _always(args: tuple[Any, ...], post: Post) -> tuple[Any, ...]:
    """Ask all posts the same."""
    return args
