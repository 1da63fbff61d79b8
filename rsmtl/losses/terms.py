"""A multi-task loss is a sum of named, weighted terms."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from rsmtl.errors import InputError
from rsmtl.losses.segmentation import cross_entropy


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


def with_class_weights(terms: Sequence[Term], class_weights: Tensor) -> tuple[Term, ...]:
    """Return the terms with each cross-entropy weighted by class.

    Parameters
    ----------
    class_weights
        `(K,)` float32, by class index.

    Raises
    ------
    InputError
        If no term is a cross-entropy.
    """
    if not any(term.loss is cross_entropy for term in terms):
        raise InputError(
            "class weights need a cross-entropy, and this system's loss has none: leave them out"
        )
    weighted = partial(cross_entropy, class_weights=class_weights)
    return tuple(replace(term, loss=weighted) if term.loss is cross_entropy else term for term in terms)


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
