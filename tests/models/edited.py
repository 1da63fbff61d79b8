"""A `.pt2` with calls of many kinds, and what becomes of it when somebody edits numbers and words in it."""

import io
import json
import random
import zipfile
from pathlib import Path
from typing import Any

import torch

from rsmtl.errors import ModelError
from rsmtl.models import load_model, save_exported
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from rsmtl.radiometry import Radiometry

EDGE = 8
_NUMBERS = (0, 1, 2, 3, 4, 7, 8, 16, 64, 4096, -1, -2, 2**31, 2**47, 2**63 - 1)
_WORDS = (
    "conv2d.default", "batch_norm.default", "add.Tensor", "mul.Tensor", "relu.default", "gather.default",
    "embedding.default", "max_pool2d.default", "upsample_nearest2d.vec", "view.default", "cat.default",
)  # fmt: skip


class ManyKinds(torch.nn.Module):
    """Convolution, normalisation, pooling, upsampling, attention, and places taken from numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4)
        self.layers, self.out = torch.nn.LayerNorm(4), torch.nn.Conv2d(8, 2, 1)
        self.places, self.levels = torch.nn.Embedding(16, 4), torch.nn.Buffer(torch.arange(16) % 16)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        found = torch.nn.functional.relu(self.norm(self.conv(image)))
        small = torch.nn.functional.max_pool2d(found, 2)
        words = self.layers(small.flatten(2).transpose(1, 2)) + self.places(self.levels)
        words = torch.nn.functional.scaled_dot_product_attention(
            words[:, None], words[:, None], words[:, None]
        )[:, 0]
        words = words.gather(1, self.levels[None, :, None].expand(1, 16, 4))
        large = torch.nn.functional.interpolate(words.transpose(1, 2).reshape(1, 4, 4, 4), scale_factor=2)
        return {"segmentation": self.out(torch.cat([found, large], 1))}


def save_many_kinds(path: Path) -> Path:
    torch.manual_seed(0)
    image = InputSpec(name="image", channels=3, radiometry=Radiometry(low=(0.0,), high=(255.0,)))
    head = HeadSpec(name="segmentation", channels=2, kind="classes", activation="softmax")
    save_exported(path, ManyKinds(), ModelSpec(system="many", inputs=(image,), heads=(head,)), window=EDGE)
    return path


def load_edited(path: Path, number: int) -> str:
    """Edit a file at a few places that follow from the number, load it, run it, and say what came of it."""
    chance, edited = random.Random(number), path.with_name("edited.pt2")
    edited.write_bytes(_edited(path.read_bytes(), chance))
    try:
        model = load_model(edited)
    except ModelError:
        return "refused"
    try:
        with torch.inference_mode():
            for _ in range(2):
                model.module(torch.rand(1, 3, EDGE, EDGE))
    except Exception:
        return "raised"
    return "done"


def _edited(data: bytes, chance: random.Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        names = [
            one for one in old.namelist() if one.endswith(("model.json", "_config.json")) or "/weight_" in one
        ]
        chosen = chance.choice([one for one in names if chance.random() < 0.9 or "/weight_" not in one])
        for name in old.namelist():
            content = old.read(name)
            if name == chosen and name.endswith(".json"):
                content = _json_edited(content, chance)
            elif name == chosen:
                content = content[: chance.randrange(len(content) + 1)] + chance.randbytes(
                    chance.choice((0, 8))
                )
            new.writestr(name, content)
    return buffer.getvalue()


def _json_edited(content: bytes, chance: random.Random) -> bytes:
    found = json.loads(content)
    leaves = list(_leaves(found))
    for _ in range(chance.choice((1, 1, 1, 2, 3)) if leaves else 0):
        holder, key = chance.choice(leaves)
        holder[key] = _another(holder[key], chance, leaves)
    return json.dumps(found).encode()


def _leaves(value: Any) -> Any:
    """Where numbers and words are, without what PyTorch writes for people."""
    for key, one in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(one, dict | list):
            yield from _leaves(one) if key not in ("metadata", "module_call_graph") else ()
        elif isinstance(one, int | float | str):
            yield value, key


def _another(value: Any, chance: random.Random, leaves: list[Any]) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return chance.choice((*_NUMBERS, value + 1, value - 1, 2 * value))
    if isinstance(value, float):
        return chance.choice((0.0, -1.0, 1e-40, 1e300, 0.5))
    if value.startswith("torch.ops.aten."):
        return f"torch.ops.aten.{chance.choice(_WORDS)}"
    return chance.choice([holder[key] for holder, key in leaves if isinstance(holder[key], str)])
