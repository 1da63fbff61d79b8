"""A multi-task loss is a sum of named, weighted terms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from rsmtl.errors import InputError


@dataclass(frozen=True)
class Term:
    """One part of a loss: what is compared with what, how, and how much it weighs."""

    name: str
    """In presets and logs."""
    loss: Callable[[Tensor, Tensor], Tensor]
    """From output and target to a scalar."""
    output: str
    """Key among the module's outputs."""
    target: str
    """Key among the batch (inputs and labels), or else among the module's outputs."""
    weight: float
    """The published one."""


def loss_terms(
    terms: Sequence[Term],
    outputs: Mapping[str, Tensor],
    batch: Mapping[str, Tensor],
    weights: Mapping[str, float] | None = None,
) -> dict[str, Tensor]:
    """Return the weighted terms of a total loss, which is their sum.

    Parameters
    ----------
    outputs
        What the module returned in training mode.
    batch
        The module's inputs by name, and what each head should have returned.
    weights
        Weight of each term; terms without one are left out. Unless given, all terms with their published weights.

    Raises
    ------
    InputError
        If a weight names a term that the system does not have, or a term's output or target is missing.
    """
    known = {term.name: term for term in terms}
    chosen = {term.name: term.weight for term in terms} if weights is None else weights
    for name in chosen:
        if name not in known:
            raise InputError(f"there is no loss term {name!r} for this model: use one of {', '.join(known)}")
    return {name: weight * _value(known[name], outputs, batch) for name, weight in chosen.items()}


def _value(term: Term, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> Tensor:
    if term.output not in outputs:
        raise InputError(
            f"loss term {term.name!r} judges {term.output!r}, but the model gave {', '.join(outputs)}: "
            "leave the term out, or train a model that has it"
        )
    others = {name: values for name, values in outputs.items() if name != term.output}
    target = batch.get(term.target, others.get(term.target))
    if target is None:
        raise InputError(
            f"loss term {term.name!r} needs the target {term.target!r}, but the data have {', '.join(batch)}: "
            "leave the term out, or use data that have it"
        )
    return term.loss(outputs[term.output], target)
