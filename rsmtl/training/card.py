"""What a checkpoint's card says, as Markdown for people."""

from typing import Any

import yaml

from rsmtl.models import Card

_BY_CLASS = ("iou", "f1", "precision", "recall")


def describe(card: Card, name: str) -> str:
    """Return a page: inputs and heads, the configuration, the scores on each split with confusion matrices."""
    training = card.training
    lines = [
        f"# {name}",
        "",
        f"System `{card.spec.system}`; weights of epoch {training.get('epoch', '–')}.",
        "",
    ]
    lines += [
        f"- input `{one.name}`: {one.channels} band(s) ({', '.join(one.bands)}), scale {one.scale}"
        for one in card.spec.inputs
    ]
    lines += [
        f"- head `{one.name}`: {one.kind}, scale {one.scale}{'' if one.product else ', no product'}"
        for one in card.spec.heads
    ]
    lines += [f"- GSD: {card.spec.gsd_m:.3g} m"] if card.spec.gsd_m else []
    versions = f"rsmtl {training.get('rsmtl', '–')}, PyTorch {training.get('torch', '–')}"
    lines += ["", f"## Training\n\n{versions}\n\n```yaml"]
    lines += [yaml.safe_dump(training.get("config", {}), sort_keys=False).rstrip(), "```"]
    for split in ("validation", "test"):
        for head, scores in training.get(split, {}).items():
            lines += ["", f"## Scores: {split}, {head}", "", *scores_table(scores)]
    return "\n".join(lines) + "\n"


def scores_table(scores: dict[str, Any]) -> list[str]:
    """Return the lines of Markdown tables: single scores, those by class, the confusion matrix."""
    single = {name: value for name, value in scores.items() if not isinstance(value, dict | list)}
    lines = [f"| {' | '.join(single)} |", "|---:" * len(single) + "|"]
    lines.append(f"| {' | '.join(map(_figure, single.values()))} |")
    if "iou" not in scores:
        return lines
    classes = list(scores["iou"])
    lines += ["", f"| class | {' | '.join(_BY_CLASS)} |", "|---|---:|---:|---:|---:|"]
    lines += [
        f"| {one} | {' | '.join(_figure(scores[score][one]) for score in _BY_CLASS)} |" for one in classes
    ]
    lines += ["", f"| truth ↓ · predicted → | {' | '.join(classes)} |", "|---|" + "---:|" * len(classes)]
    lines += [
        f"| {one} | {' | '.join(f'{n:,}' for n in row)} |"
        for one, row in zip(classes, scores["confusion"], strict=True)
    ]
    return lines


def _figure(value: float | int | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
