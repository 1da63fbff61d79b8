"""What PyTorch computes on: GPUs with their driver and free memory, and whether bfloat16 is fast."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rsmtl.doctor.finding import Finding

FREE = 0.5
"""Part of a GPU's memory that is free unless somebody else uses it."""


def look_at_devices(cuda: bool) -> dict[str, Any]:
    """Return what PyTorch sees; of GPUs only their number unless they are to be used, as more takes memory of them."""
    import torch

    told = Path("/proc/driver/nvidia/version")
    driver = re.search(r"Kernel Module\D*([\d.]+)", told.read_text()) if told.exists() else None
    able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    found: dict[str, Any] = {
        "torch": str(torch.__version__),
        "built_for": torch.version.cuda,
        "driver": driver[1] if driver else None,
        "n_gpus": torch.cuda.device_count(),
        "cpu_bf16": [name for name in ("amx_bf16", "avx512_bf16", "bf16") if able.get(name)],
        "gpus": [],
        "problem": "",
    }
    if not cuda or torch.version.cuda is None:
        return found
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return found | {"problem": str(error).strip().splitlines()[0].rstrip(".")}
    for number in range(found["n_gpus"]):
        free, total = torch.cuda.mem_get_info(number)
        major, minor = torch.cuda.get_device_capability(number)
        found["gpus"].append(
            {
                "name": torch.cuda.get_device_name(number),
                "capability": [major, minor],
                "built_for": torch.cuda.get_arch_list(),
                "uuid": str(torch.cuda.get_device_properties(number).uuid),
                "free_bytes": free + torch.cuda.memory_reserved(number),  # what this process keeps is its own
                "total_bytes": total,
            }
        )
    return found


def judge_devices(found: Mapping[str, Mapping[str, Any]], cuda: bool) -> Iterator[Finding]:
    """Tell what there is, and what stands in the way of what is asked for."""
    for place, seen in found.items():
        yield from _gpus(place, seen) if cuda else [_unused(place, seen)]
        yield _bf16(place, seen, cuda)
    users: dict[str, list[str]] = {}
    for place, seen in found.items():
        for gpu in seen["gpus"][:1]:  # a process computes on the first that it sees
            users.setdefault(gpu["uuid"], []).append(place)
    for places in users.values():
        if len(places) > 1:
            text, todo = "compute on one and the same GPU", "give each its own by CUDA_VISIBLE_DEVICES"
            yield Finding("GPUs", text, "mend", todo, tuple(places))


def _unused(place: str, seen: Mapping[str, Any]) -> Finding:
    if seen["n_gpus"]:
        text = f"{seen['n_gpus']} GPU(s), which `--device cuda` would use"
        return Finding("GPUs", text, "note", where=(place,))
    if seen["driver"]:
        text = f"there is an NVIDIA driver ({seen['driver']}), but PyTorch {seen['torch']} finds no GPU"
        return Finding("GPUs", text, "note", where=(place,))
    return Finding("GPUs", "none, and none asked for", where=(place,))


def _gpus(place: str, seen: Mapping[str, Any]) -> Iterator[Finding]:
    def bad(text: str, todo: str) -> Finding:
        return Finding("GPUs", text, "mend", todo, where=(place,))

    driver = f"driver {seen['driver']}" if seen["driver"] else "no NVIDIA driver"
    if seen["built_for"] is None:
        yield bad(
            f"PyTorch {seen['torch']} is built without CUDA",
            "install a PyTorch that is built for CUDA, or use `--device cpu`",
        )
        return
    if seen["problem"] or not seen["gpus"]:
        why = f" ({seen['problem']})" if seen["problem"] else ""
        yield bad(
            f"PyTorch {seen['torch']}, built for CUDA {seen['built_for']}, can use no GPU{why}; {driver}",
            "start it where there is a GPU, with a driver that is new enough for this CUDA",
        )
        return
    for number, gpu in enumerate(seen["gpus"]):
        major, minor = gpu["capability"]
        free, total = gpu["free_bytes"] / 2**30, gpu["total_bytes"] / 2**30
        name = f"{number}, {gpu['name']} ({major}.{minor}, {driver})"
        if not _is_built_for(major, minor, gpu["built_for"]):
            yield bad(
                f"PyTorch {seen['torch']} has no kernels for GPU {name}, only for {', '.join(gpu['built_for'])}",
                "install a PyTorch that is built for it",
            )
        elif free < FREE * total:
            yield bad(
                f"GPU {name} has {free:.1f} of {total:.1f} GiB free", "end what else uses it, or name another"
            )
        else:
            yield Finding("GPUs", f"{name}: {free:.1f} of {total:.1f} GiB free", where=(place,))


def _is_built_for(major: int, minor: int, built_for: list[str]) -> bool:
    """Whether there is machine code of the same generation, not newer than the GPU, or intermediate code (PTX)."""
    for arch in built_for:
        kind, _, digits = arch.partition("_")
        number = re.match(r"\d+", digits)
        if number is None:
            continue
        its_major, its_minor = divmod(int(number[0]), 10)
        if (its_major, its_minor) <= (major, minor) and (kind == "compute" or its_major == major):
            return True
    return False


def _bf16(place: str, seen: Mapping[str, Any], cuda: bool) -> Finding:
    if cuda and seen["gpus"]:
        slow = [gpu["name"] for gpu in seen["gpus"] if gpu["capability"] < [8, 0]]
        if slow:
            text = f"{', '.join(slow)} only imitates it: `--precision bf16` gains nothing"
            return Finding("bfloat16", text, "note", where=(place,))
        return Finding("bfloat16", "fast on the GPU", where=(place,))
    if seen["cpu_bf16"]:
        return Finding("bfloat16", f"fast on this processor ({', '.join(seen['cpu_bf16'])})", where=(place,))
    text = "this processor has no instructions for it: `--precision bf16` gains nothing"
    return Finding("bfloat16", text, "note", where=(place,))
