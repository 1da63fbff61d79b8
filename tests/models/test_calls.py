"""No call of an operator, and no edited file, ends the process or touches memory that is not its own."""

import subprocess
import sys

import pytest
import torch

from rsmtl.models.calls import UnsafeCall, check_call, check_calls
from rsmtl.models.operators import is_known
from tests.models.edited import EDGE, ManyKinds

RISKY = r"aten\.(upsample_nearest2d|scaled_dot|batch_norm|div|remainder|max_unpool2d|embedding|gather)\."


def test_calls_and_files_made_up_at_random_end_no_process() -> None:
    """A few of what `python -m tests.models.fuzz --calls 1000 --files 10000` tries."""
    asked = [sys.executable, "-m", "tests.models.fuzz", "--calls", "10", "--files", "10", "--only", RISKY]
    ran = subprocess.run(asked, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "done" in ran.stdout
    assert "edited files, 10 tried" in ran.stdout


@pytest.mark.parametrize(
    "name",
    [
        "native_batch_norm.default", "_native_batch_norm_legit_no_training.default", "_weight_norm.default",
        "_scaled_dot_product_flash_attention_for_cpu.default", "_native_multi_head_attention.default",
        "_transformer_encoder_layer_fwd.default", "unsqueeze_.default", "t_.default", "median.dim", "nanmedian.dim",
    ],
)  # fmt: skip
def test_operators_that_do_not_look_at_sizes_are_unknown(name: str) -> None:
    assert not is_known(f"torch.ops.aten.{name}")


SMALLEST = torch.tensor([torch.iinfo(torch.int64).min])


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("div.Tensor_mode", (SMALLEST, torch.tensor([-1])), {"rounding_mode": "trunc"}),
        ("div_.Tensor_mode", (SMALLEST, torch.tensor([-1])), {"rounding_mode": "floor"}),
        ("div.Scalar_mode", (SMALLEST, -1), {"rounding_mode": "trunc"}),
        ("floor_divide.default", (SMALLEST, torch.tensor([-1])), {}),
        ("remainder.Scalar", (SMALLEST, -1), {}),
        ("remainder.Scalar_Tensor", (1, SMALLEST), {}),
        ("fmod.Tensor", (SMALLEST, torch.tensor([-1])), {}),
        ("upsample_nearest2d.default", (torch.ones(1, 1, 2, 2), [2, 2], 1e-40, None), {}),
        ("upsample_bilinear2d.vec", (torch.ones(1, 1, 2, 2), None, False, [float("nan"), 1.0]), {}),
        ("scaled_dot_product_attention.default", tuple(torch.ones(1, 1, n, 8) for n in (4, 2, 4)), {}),
    ],
)  # fmt: skip
def test_what_the_kernels_do_not_check_is_refused(name: str, args: tuple, kwargs: dict) -> None:
    packet, overload = name.split(".")
    with pytest.raises(UnsafeCall, match=r"^a call of aten\."):
        check_call(getattr(getattr(torch.ops.aten, packet), overload), args, kwargs)


def test_plain_divisions_are_taken() -> None:
    ops = torch.ops.aten
    check_call(ops.div.Tensor, (SMALLEST, torch.tensor([-1])), {})
    check_call(ops.floor_divide.Scalar, (SMALLEST, 2), {})
    check_call(ops.div.Tensor_mode, (torch.ones(1), torch.tensor([-1])), {"rounding_mode": "trunc"})


def test_sizes_are_followed_from_the_inputs() -> None:
    program = torch.export.export(ManyKinds().eval(), (torch.zeros(1, 3, EDGE, EDGE),))
    check_calls(program, [(1, 3, EDGE, EDGE)])
    with pytest.raises(UnsafeCall, match=r"as float32 \(1, 3, 8, 8\), where"):
        check_calls(program, [(1, 3, 2 * EDGE, EDGE)])
    for n_inputs in (0, 2):
        with pytest.raises(UnsafeCall, match=f"another number of inputs than the {n_inputs} of its card"):
            check_calls(program, [(1, 3, EDGE, EDGE)] * n_inputs)
