"""The forward pass: test-time augmentation, memory that does not suffice, and modules that do not do as they say."""

import logging
import weakref
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rsmtl.config import Settings
from rsmtl.engine import network
from rsmtl.engine.cost import cost
from rsmtl.engine.forward_bytes import forward_bytes
from rsmtl.engine.lazy import predict
from rsmtl.engine.network import forward
from rsmtl.engine.plan import plan
from rsmtl.errors import ModelError, PlanError, RunError
from rsmtl.models.checkpoint import load_model
from rsmtl.models.model import Model
from rsmtl.models.spec import HeadSpec, InputSpec, ModelSpec
from tests import fakes

SETTINGS = Settings(window=16, overlap=4)


@pytest.mark.parametrize("tta", ["rotations", "dihedral"])
def test_what_depends_on_the_position_averages_out(tta) -> None:
    """The fake adds y (2x − 1), with y and x from 0 to 1: over the rotations of the square that sums to nothing."""
    image = torch.rand(3, 1, 16, 16)
    plain = forward(fakes.position_dependent(), SETTINGS, [image])["same"]
    averaged = forward(fakes.position_dependent(), SETTINGS.model_copy(update={"tta": tta}), [image])["same"]
    assert not torch.allclose(plain, image, atol=0.1)
    assert torch.allclose(averaged, image, atol=1e-6)


@pytest.mark.parametrize("tta", ["rotations", "dihedral"])
def test_inputs_and_heads_of_several_scales_are_turned_together(tta) -> None:
    pan, ms = torch.rand(2, 1, 16, 16), torch.rand(2, 3, 4, 4)
    plain = forward(fakes.pan_ms_mean(), SETTINGS, [pan, ms])
    averaged = forward(fakes.pan_ms_mean(), SETTINGS.model_copy(update={"tta": tta}), [pan, ms])
    for head in ("hrms", "coarse"):
        assert torch.allclose(averaged[head], plain[head], atol=1e-6)


def test_probabilities_are_averaged_not_votes() -> None:
    model, image = fakes.random_urec(), torch.rand(1, 3, 64, 64)
    settings = Settings(window=64, overlap=16, tta="rotations")
    with torch.inference_mode():
        turned = [
            torch.rot90(model.module(torch.rot90(image, k, (2, 3)))["segmentation"].softmax(1), -k, (2, 3))
            for k in range(4)
        ]
        found = forward(model, settings, [image])["segmentation"]
    assert torch.allclose(found, sum(turned) / 4, atol=1e-5)
    assert torch.allclose(found.sum(dim=1), torch.ones(1, 64, 64), atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_augmented_bits_do_not_depend_on_the_chunk(batch: int) -> None:
    scene, model = fakes.make_scene(fakes.textured((3, 200, 170))), fakes.random_urec()
    settings = Settings(window=64, overlap=16, tta="dihedral", batch=batch, heads=fakes.UREC_HEADS)
    found = [
        predict(scene, model, settings.model_copy(update={"chunk": chunk})).compute() for chunk in (1, 2, 5)
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other.segmentation, found[0].segmentation)
        np.testing.assert_array_equal(other.reconstruction, found[0].reconstruction)


class Greedy(nn.Module):
    """Does as another module, for so many windows at once; its memory does not suffice for more."""

    def __init__(self, module: nn.Module, most: int, tried: Callable[[int], None]) -> None:
        super().__init__()
        self.module, self.most, self.tried = module, most, tried

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        self.tried(len(inputs[0]))
        if len(inputs[0]) > self.most:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")
        answer: dict[str, Tensor] = self.module(*inputs)
        return answer


@pytest.fixture
def _forgetful(monkeypatch) -> None:
    """Nothing is known yet of what fits, and nothing is remembered."""
    monkeypatch.setattr(network, "_AT_ONCE", {})


def greedy(model: Model, most: int) -> tuple[Model, list[int]]:
    """The model with such a memory, and a list of how many windows it will have been given at once."""
    tried: list[int] = []
    return Model.from_module(Greedy(model.module, most, tried.append), model.spec), tried


MODELS = {
    "identity": fakes.identity,
    "position": fakes.position_dependent,
    "mixer": fakes.class_mixer,
    "upsampler": fakes.upsampler,
    "pan_ms": fakes.pan_ms_mean,
    "urec": fakes.random_urec,
    "shipped": lambda: load_model("urec-landscape"),
}


def batch_of(model: Model, n: int, window: int) -> list[Tensor]:
    return [
        torch.rand(n, i.channels, int(window * i.scale), int(window * i.scale)) for i in model.spec.inputs
    ]


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("tta", ["none", "rotations"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", MODELS)
def test_halves_of_a_batch_have_the_same_bits(name: str, precision: str, tta: str) -> None:
    model, settings = MODELS[name](), Settings(precision=precision, tta=tta)
    inputs = batch_of(model, 4, 64)
    whole, (small, tried) = forward(model, settings, inputs), greedy(model, 2)
    found = forward(small, settings, inputs)
    assert tried == [4, *[2] * 2 * (4 if tta == "rotations" else 1)]
    assert all(torch.equal(found[head], whole[head]) for head in whole)


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("urec", "shipped")])
def test_single_windows_have_the_same_bits(name: str) -> None:
    model = MODELS[name]()
    inputs = batch_of(model, 4, 64)
    whole, (small, tried) = forward(model, Settings(), inputs), greedy(model, 1)
    found = forward(small, Settings(), inputs)
    assert tried == [4, 2, 1, 1, 1, 1]
    assert all(torch.equal(found[head], whole[head]) for head in whole)


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("name", ["urec", "shipped"])
def test_single_windows_of_a_network_have_nearly_the_same_bits(name: str) -> None:
    """The CPU's library has convolutions of its own for a single small window in float32."""
    model = MODELS[name]()
    inputs = batch_of(model, 4, 64)
    whole, (small, _) = forward(model, Settings(), inputs), greedy(model, 1)
    found = forward(small, Settings(), inputs)
    assert all(torch.allclose(found[head], whole[head], atol=1e-5) for head in whole)


@pytest.mark.usefixtures("_forgetful")
def test_what_does_not_fit_is_tried_once_and_told(caplog) -> None:
    model, tried = greedy(fakes.identity(), 2)
    inputs = batch_of(model, 8, 16)
    with caplog.at_level(logging.WARNING, logger="rsmtl"):
        forward(model, SETTINGS, inputs)
        forward(model, SETTINGS, inputs)
    assert tried == [8, 4, *[2] * 4, *[2] * 4]
    assert [(r.event, r.batch, r.at_once) for r in caplog.records] == [
        ("batch halved", 8, 4),
        ("batch halved", 8, 2),
    ]


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize(
    ("n", "most", "expected"), [(6, 4, [6, 3, 3]), (5, 4, [5, 1, 1, 1, 1, 1]), (1, 1, [1])]
)
def test_parts_of_a_batch_have_one_size(n: int, most: int, expected: list[int]) -> None:
    model, tried = greedy(fakes.identity(), most)
    inputs = batch_of(model, n, 16)
    assert torch.equal(forward(model, SETTINGS, inputs)["same"], inputs[0])
    assert tried == expected


@pytest.mark.usefixtures("_forgetful")
def test_memory_for_less_than_a_window_is_a_sentence() -> None:
    model, tried = greedy(fakes.pan_ms_mean(), 0)
    with pytest.raises(RunError, match=r"too little memory for one window of 32 px: use a smaller window"):
        forward(model, SETTINGS, batch_of(model, 2, 32))
    assert tried == [2, 1]


class Hoarding(nn.Module):
    """Holds an array when its memory does not suffice, and says of the last such array whether it is still there."""

    def __init__(self, kept: list[weakref.ref[Tensor]], still_there: Callable[[bool], None]) -> None:
        super().__init__()
        self.kept, self.still_there = (lambda: kept), still_there

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        kept = self.kept()
        self.still_there(any(ref() is not None for ref in kept))
        array = image + 1
        kept.append(weakref.ref(array))
        if len(image) > 1:
            raise torch.OutOfMemoryError("tried to allocate 2 GiB")
        return {"same": image}


@pytest.mark.usefixtures("_forgetful")
def test_memory_is_given_back_before_less_is_tried() -> None:
    seen: list[bool] = []
    model = fakes.one_input_model(Hoarding([], seen.append), 1, fakes.continuous("same", 1))
    forward(model, SETTINGS, batch_of(model, 4, 16))
    assert seen == [False] * 6


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
class TestCuda:
    @pytest.mark.usefixtures("_forgetful")
    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    @pytest.mark.parametrize("most", [4, 2, 1])
    def test_parts_of_a_batch_have_the_same_bits(self, precision: str, most: int) -> None:
        model, settings = load_model("urec-landscape"), Settings(device="cuda", precision=precision)
        inputs = [i.cuda() for i in batch_of(model, 8, 512)]
        whole = {name: values.clone() for name, values in forward(model, settings, inputs).items()}
        small, _ = greedy(model, most)
        found = forward(small, settings, inputs)
        assert all(torch.equal(found[head], whole[head]) for head in whole)

    @pytest.mark.usefixtures("_forgetful")
    def test_memory_that_is_really_full(self) -> None:
        model, settings = load_model("urec-landscape"), Settings(device="cuda")
        inputs = [i.cuda() for i in batch_of(model, 32, 512)]
        forward(model, settings, [i[:1] for i in inputs])  # the weights
        network._forget_recorded()
        total, used = torch.cuda.mem_get_info()[1], torch.cuda.memory_allocated()
        torch.cuda.set_per_process_memory_fraction(
            (used + forward_bytes(model, 512, 32, "fp32") // 2) / total
        )
        try:
            found = {name: values.cpu() for name, values in forward(model, settings, inputs).items()}
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        assert 1 <= next(iter(network._AT_ONCE.values())) < 32
        on_cpu = forward(model, Settings(), [i[:2].cpu() for i in inputs])
        assert all(torch.allclose(found[head][:2], on_cpu[head], atol=1e-3) for head in on_cpu)

    @pytest.mark.parametrize("precision", ["fp32", "bf16"])
    def test_bits_depend_on_no_thread_and_no_chunk(self, precision: str) -> None:
        scene, model = fakes.make_scene(fakes.textured((3, 700, 900))), fakes.random_urec()
        settings = Settings(
            window=128, overlap=32, batch=4, device="cuda", precision=precision, heads=fakes.UREC_HEADS
        )
        first, *others = (
            predict(scene, model, settings.model_copy(update={"chunk": chunk})).compute(
                scheduler="threads", num_workers=n_threads
            )
            for chunk, n_threads in [(1, 6), (3, 6), (3, 1), (1, 1)]
        )
        for other in others:
            np.testing.assert_array_equal(other.segmentation, first.segmentation)
            np.testing.assert_array_equal(other.reconstruction, first.reconstruction)

    def test_a_gpu_finds_the_classes_that_a_cpu_finds(self) -> None:
        scene, model = fakes.make_scene(fakes.textured((3, 300, 400))), fakes.random_urec()
        settings = Settings(window=128, overlap=32, batch=2, heads=fakes.UREC_HEADS)
        on_cpu, on_cuda = (
            predict(scene, model, settings.model_copy(update={"device": device})).compute()
            for device in ("cpu", "cuda")
        )
        assert (on_cpu.segmentation == on_cuda.segmentation).mean() > 0.999
        np.testing.assert_allclose(on_cpu.reconstruction, on_cuda.reconstruction, atol=1e-3)


class Broken(nn.Module):
    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image.reshape(3, 7, -1)}


class Bare(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image


class Deciding(nn.Module):
    """Chooses by a number, which a projection on tensors without numbers cannot follow."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"same": image if image.sum() < 1e9 else -image}


def test_a_module_that_fails_is_a_sentence() -> None:
    model = fakes.one_input_model(Broken(), 1, fakes.continuous("same", 1))
    with pytest.raises(
        ModelError,
        match=r"the module of 'fake' fails on image \(1, 1, 16, 16\), which its spec allows: RuntimeError: .*"
        "mend the module, or its spec's divisor and channels",
    ):
        forward(model, SETTINGS, [torch.rand(1, 1, 16, 16)])


def test_a_module_that_gives_no_dict_is_a_sentence() -> None:
    model = fakes.one_input_model(Bare(), 1, fakes.continuous("same", 1))
    with pytest.raises(
        ModelError, match="must return a dict from head name to tensor, but it gave Tensor: wrap"
    ):
        forward(model, SETTINGS, [torch.rand(1, 1, 16, 16)])


def test_a_module_that_decides_by_numbers_has_a_cost() -> None:
    model = fakes.one_input_model(Deciding(), 1, fakes.continuous("same", 1))
    made = plan(fakes.make_scene(fakes.textured((1, 40, 40))), model, SETTINGS)
    assert cost(made).worker_bytes > 0


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "Sr", "x", "confidence", "spatial_ref"])
def test_a_name_that_cannot_name_a_file_or_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        ModelSpec(
            system="fake",
            inputs=(InputSpec(name="image", channels=1),),
            heads=(HeadSpec(name=name, channels=1, kind="continuous", like="image"),),
        )


class BoxMean(nn.Module):
    """The mean of 3×3 pixels, reflected at the window's edge: wrong in a window's outermost pixel only."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        padded = nn.functional.pad(image, (1, 1, 1, 1), mode="reflect")
        return {"same": nn.functional.avg_pool2d(padded, 3, stride=1)}


@pytest.mark.parametrize("overlap", [2, 4, 8])
def test_with_a_margin_a_local_filter_is_that_of_the_whole_scene(overlap: int) -> None:
    values = fakes.textured((1, 61, 75))
    spec = ModelSpec(
        system="fake", inputs=(fakes.image_input(1),), heads=(fakes.continuous("same", 1),), margin=1
    )
    model = Model.from_module(BoxMean(), spec)
    settings = Settings(window=16, overlap=overlap)
    found = predict(fakes.make_scene(values), model, settings)["same"].compute()
    whole = BoxMean()(torch.from_numpy(values)[None])["same"][0, 0].numpy()
    np.testing.assert_allclose(found, whole, atol=1e-7)
    unknown = fakes.continuous("same", 1)
    careless = fakes.one_input_model(BoxMean(), 1, unknown)
    seams = predict(fakes.make_scene(values), careless, settings)["same"].compute()
    assert np.abs(seams - whole).max() > 1e-3


def test_an_overlap_that_leaves_no_room_for_the_margin_is_refused() -> None:
    spec = ModelSpec(
        system="fake",
        inputs=(fakes.image_input(1),),
        heads=(fakes.continuous("same", 1, scale=Fraction(1)),),
        margin=3,
    )
    model = Model.from_module(BoxMean(), spec)
    with pytest.raises(
        PlanError,
        match=r"the overlap must be at least 6 px, since a margin of 3 px .* got 4 px: make the overlap",
    ):
        plan(fakes.make_scene(fakes.textured((1, 40, 40))), model, SETTINGS)
