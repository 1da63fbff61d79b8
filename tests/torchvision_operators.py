"""Lets torchvision be imported, and timm and torchmetrics with it, where its operators do not fit the torch here.

A torchvision built for CUDA beside a torch for the CPU cannot load its operators, and then fails to import because it
describes two that do not exist. No encoder and no metric uses them: declaring their signatures is enough.
"""

from importlib.util import find_spec
from pathlib import Path

import torch

_declared: list[torch.library.Library] = []  # a library's operators vanish with it


def declare_missing_operators() -> None:
    """Declare what `import torchvision` needs, unless its own operators can be loaded."""
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None or _declared:
        return
    try:
        torch.ops.load_library(str(Path(spec.origin).with_name("_C.so")))
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
