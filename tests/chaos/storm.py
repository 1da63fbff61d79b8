"""A storm: faults spread over the work on a catalogue, a new night after each that has ended, until all have struck."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from rsmtl.store.folder import ITEM_NAME
from tests.chaos.faults import Fault
from tests.chaos.products import differing
from tests.chaos.site import NotNow, Site

_TICK_S = 0.05
STALLED_S = 150
"""A site on which nothing happens for so long has stalled."""
PATIENCE_S = 10
"""A fault that finds nothing to strike for so long gives way to another."""


class StalledError(Exception):
    """Nothing happens any more."""


@dataclass
class Storm:
    """Nights and faults, in one thread."""

    site: Site
    kinds: Mapping[str, Fault] = field(default_factory=dict)
    """All that can strike here."""
    expected: Mapping[str, dict[str, str]] = field(default_factory=dict)
    """The contents of each scene's product."""
    struck: Counter[str] = field(default_factory=Counter)
    """Faults by kind."""
    ends: list[int] = field(default_factory=list)
    """How each flow ended: its exit status, or minus a signal."""
    half: dict[str, list[str]] = field(default_factory=dict)
    """Products that passed for finished and were not, with the files that differ."""
    begun: float = field(default_factory=time.monotonic)
    tracebacks: list[str] = field(default_factory=list)
    """Flows that said what only a programmer can read."""
    _whole: set[str] = field(default_factory=set)
    _changed: tuple[float, object] = (0.0, None)

    def rage(self, faults: Sequence[tuple[str, Fault]], n_chunks: int) -> None:
        """Let faults strike as the work goes on, and wait until all is put right and no flow runs.

        Parameters
        ----------
        n_chunks
            Of the whole catalogue.
        """
        rng = self.site.rng
        moments = sorted(rng.uniform(0, 0.95) * n_chunks for _ in faults)
        for (kind, fault), moment in zip(faults, moments, strict=True):
            self._until(lambda moment=moment: len(self.site.tally.kept) >= moment)
            calm_until = time.monotonic() + rng.uniform(0, 1)
            self._until(lambda moment=calm_until: time.monotonic() >= moment)
            self._strike(kind, fault)
        self._until(lambda: not self.site.struck, nights=False)
        self._until(lambda: self.site.night is None and not self.site.others, nights=False)

    def calm(self) -> None:
        """Let a night pass without a fault."""
        self._until(lambda: self.site.night is not None)
        self._until(lambda: self.site.night is None, nights=False)

    def give_up(self) -> None:
        """End the flows that run, so that they do not pass for orphans."""
        for flow in (self.site.night, *self.site.others):
            if flow is not None:
                flow.process.kill()

    def verify(self) -> int:
        """Run `rsmtl verify` over the products, and return its exit status."""
        words = ["-m", "rsmtl", "verify", str(self.site.out), "--chunks", "1"]
        process = self.site.processes.start("verify", [sys.executable, *words])
        self._until(lambda: process.poll() is not None, nights=False)
        self._say(f"    verify ended with {process.returncode}")
        return process.returncode

    def _strike(self, kind: str, fault: Fault) -> None:
        """Let a fault strike while a night passes; another kind, if there is nothing for it to strike for long."""
        patience = time.monotonic() + PATIENCE_S

        def strikes() -> bool:
            nonlocal kind, fault
            if self.site.night is None:
                return False
            try:
                fault(self.site)
            except NotNow:
                if time.monotonic() > patience:
                    kind, fault = self.site.rng.choice(list(self.kinds.items()))
                return False
            return True

        self._until(strikes)
        self.struck[kind] += 1
        self._say(kind)

    def _until(self, reached: Callable[[], bool], *, nights: bool = True) -> None:
        """Watch over the site until something is reached; begin a night where there is none, if `nights` says so."""
        while not reached():
            self.site.cluster.tend()
            self.site.relieve()
            self.site.tally.read()
            self._take_leave()
            if nights and self.site.night is None and self._is_ready():
                self.site.begin_night()
                self._say(f"    {self.site.night.name} begins")
            self._check_alive()
            time.sleep(_TICK_S)

    def _take_leave(self) -> None:
        """Note which flows have ended, and look at what they left."""
        night, others = self.site.night, self.site.others
        ended = [flow for flow in (night, *others) if flow is not None and flow.status is not None]
        for flow in ended:
            self.ends.append(flow.status)
            if "Traceback" in flow.said():
                self.tracebacks.append(flow.name)
            self._say(f"    {flow.name} ended with {flow.status}")
        self.site.others = [flow for flow in others if flow not in ended]
        if night in ended:
            self.site.night = None
            self._inspect()

    def _say(self, what: str) -> None:
        """Tell whoever waits how far the work is, and what happened."""
        seconds, n_chunks = time.monotonic() - self.begun, len(self.site.tally.kept)
        print(f"{seconds:6.1f} s {n_chunks:4d} chunks  {what}", flush=True)

    def _is_ready(self) -> bool:
        n_struck = sum(name.startswith("worker") for name in self.site.struck)
        return self.site.cluster.is_ready(max(1, self.site.cluster.n_workers - n_struck))

    def _check_alive(self) -> None:
        """Raise a `StalledError` if nothing has happened for long."""
        state = (self.site.tally.n_lines, len(self.ends), self.struck.total(), len(self.site.struck))
        if state != self._changed[1]:
            self._changed = (time.monotonic(), state)
        elif time.monotonic() > self._changed[0] + STALLED_S:
            raise StalledError(f"nothing happened for {STALLED_S} s after {self.struck.total()} faults")

    def _inspect(self) -> None:
        """Compare each product that has an item since the last look: no item, no product."""
        for scene, expected in self.expected.items():
            folder = self.site.out / scene
            if scene not in self._whole | self.site.marred and (folder / ITEM_NAME).exists():
                self._whole.add(scene)
                if strange := [name for name in differing(folder, expected) if name in expected]:
                    self.half[scene] = strange
