# %% [markdown]
# # Bring your own model
#
# Any PyTorch module runs over scenes of any size once it says what it takes and gives. You write a small
# network with two heads at two scales, train it in a plain PyTorch loop, run it lazily and on worker
# processes, and keep it as a file that needs none of its code. It takes less than a minute.

# %%
from fractions import Fraction
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import DataLoader

import rsmtl
from rsmtl.datasets import Patches, Sampling, ScenesData, load_splits
from rsmtl.dispatch import local_cluster
from rsmtl.errors import RsmtlError
from rsmtl.models import ClassSpec, save_exported
from rsmtl.synthetic import CLASSES, write_catalogue

torch.set_num_threads(1)
torch.manual_seed(0)

# %% [markdown]
# ## A module
#
# A small U-Net that is nobody's but yours. From full resolution it tells the classes of the ground; from its
# middle, at an eighth of the resolution, whether there is a building in a cell of 4 m. It answers with a dict
# from head to tensor.


# %%
def block(c_in, c_out):
    return nn.Sequential(
        nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
    )


class Mine(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        w1, w2, w3, w4 = width, 2 * width, 3 * width, 4 * width
        self.down = nn.ModuleList([block(3, w1), block(w1, w2), block(w2, w3), block(w3, w4)])
        self.up = nn.ModuleList([block(w4 + w3, w3), block(w3 + w2, w2), block(w2 + w1, w1)])
        self.segmentation = nn.Conv2d(w1, len(CLASSES), 1)
        self.built = nn.Conv2d(w4, 1, 1)

    def forward(self, image):
        x, maps = self.down[0](image), []
        for step in self.down[1:]:
            maps.append(x)
            x = step(F.max_pool2d(x, 2))
        built = self.built(x)
        for step in self.up:
            x = step(torch.cat([F.interpolate(x, scale_factor=2), maps.pop()], dim=1))
        return {"segmentation": self.segmentation(x), "built": built}


# %% [markdown]
# ## What it takes and gives
#
# The spec is all that the engine knows of a model: its inputs with their bands and range of values, its heads
# with their scales, and of what number of pixels a window must be a multiple. Activations belong to the spec;
# the module gives logits.

# %%
IMAGE = {"low": (0,), "high": (2047,)}  # of 11 bits

spec = rsmtl.ModelSpec(
    system="mine",
    inputs=(rsmtl.InputSpec(name="image", channels=3, bands=("red", "green", "blue"), radiometry=IMAGE),),
    heads=(
        rsmtl.HeadSpec(
            name="segmentation", channels=6, kind="classes", activation="softmax", classes=CLASSES
        ),
        rsmtl.HeadSpec(
            name="built",
            channels=1,
            scale=Fraction(1, 8),
            kind="classes",
            activation="sigmoid",
            classes=(
                ClassSpec(name="open", color=(235, 235, 235)),
                ClassSpec(name="built", color=(136, 46, 114)),
            ),
        ),
    ),
    divisor=8,
)

# %% [markdown]
# ## Training it
#
# The patches that `rsmtl train` draws are there for loops of your own as well: `Patches` is a data set as
# PyTorch's `DataLoader` wants one. Their values are those that the module will see in a prediction, by the
# same radiometry. A label of 255 does not count.

# %%
write_catalogue(Path("scenes"), n_scenes=10, size_px=512, seed=5)
folders = sorted(Path("scenes").glob("landscape-*"))
files = [{"image": f"{one}/hrms.tif", "segmentation": f"{one}/classes.tif"} for one in folders]
data = ScenesData(
    train=files[:8],
    validation=files[8:],
    bands={"image": ("red", "green", "blue")},
    classes=CLASSES,
    radiometry={"image": IMAGE},
)
patches = Patches(
    load_splits(data, Path()).train, Sampling(patch_px=64, patches_per_epoch=1280), seed=0, epoch=0
)
BUILDING = [one.name for one in CLASSES].index("building")


def trained(module):
    optimizer = torch.optim.Adam(module.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 8e-3, total_steps=len(patches) // 8)
    losses = []
    for batch in DataLoader(patches, batch_size=8):
        labels = batch["segmentation"]
        holds_building = F.max_pool2d((labels == BUILDING).float()[:, None], 8)
        heads = module(batch["image"])
        loss = F.cross_entropy(heads["segmentation"], labels, ignore_index=255)
        loss = loss + F.binary_cross_entropy_with_logits(heads["built"], holds_building)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return module.eval(), losses


mine, losses = trained(Mine())

figure, axis = plt.subplots(figsize=(11, 3), layout="constrained")
axis.plot(losses, color="#0072b2")
axis.set(title="loss of a training in a plain loop", xlabel="step", ylim=0)
plt.show()

# %% [markdown]
# ## Running it lazily
#
# From here on it is a model like those that come with rsmtl. `predict` computes nothing yet; each head has
# its own grid, and what is looked at decides which windows run. The scene is one that the training has not
# seen.

# %%
model = rsmtl.Model.from_module(mine, spec)
scene = rsmtl.open_scene(folders[-1] / "hrms.tif")
settings = rsmtl.Settings(window=128, overlap=32)
heads = rsmtl.predict(scene, model, settings)
heads


# %%
def shown(axis, head, classes):
    colors = ListedColormap(np.array([one.color for one in classes]) / 255)
    axis.imshow(head, cmap=colors, vmin=-0.5, vmax=len(classes) - 0.5, interpolation="nearest")
    axis.set(xticks=[], yticks=[])


def legend(figure, classes):
    marks = [Patch(color=np.array(one.color) / 255, label=one.name) for one in classes]
    figure.legend(handles=marks, ncols=len(marks), loc="outside lower center", frameon=False)


here, there = slice(0, 256), slice(0, 32)  # the same ground at 0.5 m and at 4 m
labelled = load_splits(data, Path()).validation[-1].read(here, here)
built = spec.head("built").classes

figure, axes = plt.subplots(1, 4, figsize=(13, 3.8), layout="constrained")
axes[0].imshow(labelled["image"].permute(1, 2, 0).clip(0, 1))
axes[0].set(title="image, 0.5 m", xticks=[], yticks=[])
shown(axes[1], labelled["segmentation"], CLASSES)
axes[1].set_title("truth")
shown(axes[2], heads.segmentation[here, here], CLASSES)
axes[2].set_title("segmentation, 0.5 m")
shown(axes[3], heads.built[there, there], built)
axes[3].set_title("built, 4 m")
legend(figure, (*CLASSES, *built))
plt.show()

# %% [markdown]
# ## A file that needs none of its code
#
# `save_exported` writes the module as a program of PyTorch's, with the spec in it, for windows of one size.
# Who reads it needs no class `Mine`, and nothing in the file is unpickled or evaluated: its operators come
# from a list of those that compute and do nothing else. Its heads have the same bits.

# %%
save_exported("mine.pt2", mine, spec, window=128)
exported = rsmtl.load_model("mine.pt2")
again = rsmtl.predict(scene, exported, settings)
print(exported.spec == spec, again.identical(heads))

# %% [markdown]
# On worker processes, and as a product: the workers load the file by its path, and whoever has a `.pt2` can
# do the same on the command line, by `rsmtl predict scene.tif --model mine.pt2 --window 128 --out products`.

# %%
with local_cluster(2) as cluster:
    product = rsmtl.write(scene, exported, "products", settings, executor=cluster)
print(f"{product.windows_run} windows in {product.seconds:.1f} s: {product.folder}")

# %%
fine, coarse = (
    xr.open_zarr(f"{product.folder}/product.zarr", group=gsd, mask_and_scale=False, consolidated=False)
    for gsd in ("0.5m", "4m")
)
figure, axes = plt.subplots(1, 2, figsize=(11, 6), layout="constrained")
shown(axes[0], fine.segmentation[0], CLASSES)
axes[0].set_title("the product's segmentation, 0.5 m")
shown(axes[1], coarse.built[0], built)
axes[1].set_title("the product's built, 4 m")
legend(figure, (*CLASSES, *built))
plt.show()

# %% [markdown]
# ## Weights alone
#
# While you still change the class, its weights as safetensors are enough. The hash of a model covers spec and
# weights, so it says whether two are the same.

# %%
save_file(mine.state_dict(), "mine.safetensors")
fresh = Mine()
fresh.load_state_dict(load_file("mine.safetensors"))
print(rsmtl.Model.from_module(fresh, spec).sha256 == model.sha256)

# %% [markdown]
# ## What a mistake looks like
#
# A spec that contradicts itself is refused when it is made, and what does not fit the module or the scene,
# before anything is run or when the first window comes back. Each is one sentence that says what was
# expected.


# %%
def said(attempt):
    try:
        attempt()
    except RsmtlError as error:
        print(f"{type(error).__name__}: {error}\n")
    except ValidationError as error:  # of a spec
        print(f"{error.errors()[0]['msg']}\n")


head = spec.head("segmentation")
said(lambda: rsmtl.HeadSpec(name="hrms", channels=3, kind="continuous"))
said(lambda: rsmtl.HeadSpec(name="segmentation", channels=6, kind="classes"))


def tried(**changed):
    wrong = spec.model_copy(update=changed)
    return lambda: rsmtl.predict(scene, rsmtl.Model.from_module(mine, wrong), settings).compute()


said(tried(inputs=(spec.inputs[0].model_copy(update={"channels": 4, "bands": ()}),)))
said(tried(heads=(head.model_copy(update={"channels": 7, "classes": ()}),)))
said(tried(heads=(head.model_copy(update={"name": "classes"}),)))
said(tried(heads=(spec.head("built").model_copy(update={"scale": Fraction(1, 4)}),)))
said(lambda: rsmtl.predict(scene, model, rsmtl.Settings(window=100)))
said(lambda: rsmtl.predict(scene, exported, rsmtl.Settings(window=64, overlap=16)).compute())
