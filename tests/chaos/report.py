"""What a storm has shown: the figures, and the promises that were not kept."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from tests.chaos.tally import Chunk


@dataclass(frozen=True)
class Report:
    """Of one storm."""

    seed: int
    n_scenes: int
    n_chunks: int
    """Of the whole catalogue."""
    n_in_flight: int
    """Chunks that are run at the same time."""
    faults: Counter[str]
    """By kind."""
    left_out: str
    """Kinds that could not be tried here."""
    flows: tuple[int, ...]
    """How each flow ended: its exit status, or minus a signal. The last one was left alone."""
    verified: tuple[int, ...]
    """What each `rsmtl verify` after the storm ended with; the last one is to find nothing."""
    n_run: int
    """How often a chunk's windows were run."""
    n_wasted: int
    """Runs of a chunk's windows beyond one."""
    repeated: Mapping[Chunk, int]
    """Chunks whose windows were run again after a job had left their result, which nothing had damaged."""
    differing: Mapping[str, list[str]]
    """Scenes whose product is not that of the undisturbed run, with the files that differ."""
    half: Mapping[str, list[str]]
    """Scenes whose product had an item before it was whole."""
    tracebacks: tuple[str, ...]
    """Flows that said what only a programmer can read."""
    orphans: tuple[str, ...]
    """Processes that outlived what had started them."""
    stalled: str
    """What nothing happened after for long."""
    seconds: float

    @property
    def bound(self) -> int:
        """What may be wasted: each fault may cost what was in flight."""
        return self.faults.total() * self.n_in_flight


def broken(report: Report) -> list[str]:
    """Return a sentence for each promise that was not kept."""
    found = {
        report.stalled: bool(report.stalled),
        f"the last flow ended with {_last(report.flows)}": _last(report.flows) != "0",
        f"the last verify ended with {_last(report.verified)}": _last(report.verified) != "0",
        f"{report.n_wasted} chunks were wasted, at most {report.bound} may be": report.n_wasted
        > report.bound,
        f"chunks were run again though they stood: {_chunks(report.repeated)}": bool(report.repeated),
        f"products differ from the undisturbed ones: {_named(report.differing)}": bool(report.differing),
        f"half products passed for whole ones: {_named(report.half)}": bool(report.half),
        f"flows showed a traceback: {', '.join(report.tracebacks)}": bool(report.tracebacks),
        f"processes were orphaned: {'; '.join(report.orphans)}": bool(report.orphans),
    }
    return [sentence for sentence, is_so in found.items() if is_so]


def kept(report: Report) -> bool:
    """Whether all promises were kept."""
    return not broken(report)


def _last(statuses: tuple[int, ...]) -> str:
    return str(statuses[-1]) if statuses else "nothing: there was none"


def _chunks(chunks: Mapping[Chunk, int]) -> str:
    return ", ".join(f"{scene} ({row}, {col})" for scene, row, col in sorted(chunks))


def _named(files: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{scene}: {', '.join(names[:6])} ({len(names)})" for scene, names in files.items())


def show(report: Report, why_not: str | None) -> None:
    """Print a table, what was left out and why not, and what was promised and not kept."""
    table = Table(title=f"chaos, seed {report.seed}", show_header=False)
    for kind, n_struck in sorted(report.faults.items()):
        table.add_row(kind, str(n_struck))
    table.add_section()
    for what, figure in (
        ("faults", report.faults.total()),
        ("flows begun", len(report.flows)),
        ("scenes", report.n_scenes),
        ("products identical", report.n_scenes - len(report.differing)),
        ("chunks", report.n_chunks),
        ("chunks run", report.n_run),
        ("chunks wasted", report.n_wasted),
        ("at most (faults × chunks in flight)", report.bound),
        ("run again though they stood", sum(report.repeated.values())),
        ("half products", len(report.half)),
        ("flows with a traceback", len(report.tracebacks)),
        ("orphan processes", len(report.orphans)),
        ("seconds", round(report.seconds)),
    ):
        table.add_row(what, str(figure))
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    if report.left_out:
        console.print(f"left out: {report.left_out} ({why_not})")
    for sentence in broken(report):
        console.print(f"NOT KEPT: {sentence}")
