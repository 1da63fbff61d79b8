# %% [markdown]
# # Training on a cluster
#
# A training runs on the workers of a Dask cluster while this notebook draws its curves. You prepare a data
# set, describe the training in Python, watch it, and predict a scene with what it has learned. It takes about
# a minute.

# %%
from contextlib import ExitStack
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import DisplayHandle, Image
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

import rsmtl
from rsmtl.datasets import Patches, Sampling, ScenesData, load_splits
from rsmtl.dispatch import launch, local_cluster
from rsmtl.metrics import confusion_matrix, scores
from rsmtl.models import read_card
from rsmtl.prepare import prepare
from rsmtl.scene.arrays import scene_from_arrays
from rsmtl.synthetic import CLASSES, Landscape, write_catalogue
from rsmtl.training import TrainConfig

# %% [markdown]
# Two worker processes on this machine. For a cluster that stands, `cluster_at("tcp://host:8786")` takes the
# place of `local_cluster(2)` and nothing else changes; the folders below must then be on storage that all
# workers share.

# %%
stack = ExitStack()
cluster = stack.enter_context(local_cluster(2))

# %% [markdown]
# ## The data
#
# Images and label images as you may have them: twelve generated scenes, each with a raster of its classes.
# Which files make which scene, what is for training and what is held out, and what bands and labels mean, is
# all there is to say. Then the workers write them into a sharded Zarr store.

# %%
write_catalogue(Path("scenes"), n_scenes=12, size_px=512, seed=5)
folders = sorted(Path("scenes").glob("landscape-*"))
files = [{"image": f"{one}/hrms.tif", "segmentation": f"{one}/classes.tif"} for one in folders]

data = ScenesData(
    train=files[:10],
    validation=files[10:11],
    test=files[11:],
    bands={"image": ("red", "green", "blue")},
    classes=CLASSES,
    radiometry={"image": {"low": (0,), "high": (1000,)}},
)
prepared = prepare(data, Path(), Path("data/scenes.zarr"), cluster)
print(f"{len(prepared.scenes)} scenes in {prepared.store}")

# %% [markdown]
# Training sees patches of them, turned and mirrored. Patch 3 of an epoch is the same, whoever asks for it and
# whenever: how many workers share a batch does not change what is in it.

# %%
sampling = Sampling(patch_px=64, patches_per_epoch=192)
patches = Patches(load_splits(data, Path("data")).train, sampling, seed=0, epoch=0)

colors = ListedColormap(np.array([one.color for one in CLASSES]) / 255)
as_classes = {"cmap": colors, "vmin": -0.5, "vmax": len(CLASSES) - 0.5, "interpolation": "nearest"}
legend = [Patch(color=colors(number), label=one.name) for number, one in enumerate(CLASSES)]

figure, axes = plt.subplots(2, 6, figsize=(11, 4.4), layout="constrained")
for number, (above, below) in enumerate(axes.T):
    patch = patches[number]
    above.imshow(patch["image"].permute(1, 2, 0).clip(0, 1))
    above.set_title(f"patch {number}")
    below.imshow(patch["segmentation"], **as_classes)
for one in axes.flat:
    one.set(xticks=[], yticks=[])
figure.legend(handles=legend, ncols=len(legend), loc="outside lower center", frameon=False)
plt.show()

# %% [markdown]
# ## The training
#
# `urec` learns two tasks from one image: its classes, and to draw the image again from the few numbers in the
# middle of the network. This one is narrow, and learns for some seconds only. The configuration is checked
# here, before anything runs; the run folder keeps it as `config.yaml`, which is also what `rsmtl train`
# reads.

# %%
config = TrainConfig(
    system="urec",
    model={"width": 8},
    data=data,
    sampling=sampling,
    class_weights={"road": 3, "building": 2, "tree": 2, "water": 3},
    epochs=4,
    batch=12,
    optimizer={"lr": 6e-3, "schedule": "cosine"},
    validation_px=64,
    precision="bf16",
    seed=1,
    torch_threads=1,
)

# %% [markdown]
# While it runs, the training tells of each step and each epoch; what it tells is what `log.jsonl` in the run
# folder holds, a line for each. These two functions make curves of it.

# %%
steps, epochs = [], []


def draw(axes):
    terms, rate, classes, image = axes.flat
    for one in axes.flat:
        one.clear()
    at = [step["epoch"] + step["step"] / step["n_steps"] for step in steps]
    for name, color in zip(steps[0]["loss"], ("#0072b2", "#d55e00"), strict=True):
        terms.plot(at, [step["loss"][name] for step in steps], label=name, color=color)
    terms.set(title="loss: its weighted terms", yscale="log")
    terms.legend(frameon=False)
    rate.plot(at, [1000 * step["lr"] for step in steps], color="black")
    rate.set(title="learning rate in thousandths", ylim=0)

    done = [epoch["epoch"] + 1 for epoch in epochs]
    scored = [epoch["validation"] for epoch in epochs]
    for number, one in enumerate(CLASSES):
        iou = [score["segmentation"]["iou"][one.name] for score in scored]
        classes.plot(done, np.array(iou, float), color=colors(number), label=one.name, marker="o")
    mean_iou = [score["segmentation"]["mean_iou"] for score in scored]
    classes.plot(done, mean_iou, color="black", label="mean", linewidth=3)
    classes.set(title="IoU in validation", ylim=(0, 1))
    classes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    image.plot(done, [score["reconstruction"]["psnr_db"] for score in scored], color="black", marker="o")
    image.set(title="PSNR of the reconstruction in validation, dB")
    for one in axes.flat:
        one.set(xlim=(0, config.epochs), xlabel="epochs")


def follow(record):
    (steps if record["kind"] == "step" else epochs).append(record)
    if record["kind"] == "epoch" or record["step"] == 0:
        draw(axes)
        curves.update(figure)


# %% [markdown]
# `launch` starts an agent of PyTorch's beside each worker, and in it a rank for each GPU, or one on the CPU.
# A worker that dies does not end the training: those that are left go on from the last state. The notebook's
# stop button ends it after the step under way; the same call with `resume=True` then goes on, and gives the
# bytes that a training without a stop would have given.

# %%
figure, axes = plt.subplots(2, 2, figsize=(11, 6), layout="constrained")
plt.close(figure)  # it is shown below, again and again
curves = DisplayHandle()
curves.display(figure)
trained = launch(config, "run", "data", cluster, report=follow)

# %% [markdown]
# ## What it leaves
#
# The model, the best weights of all epochs, the state to go on from, the log, curves for TensorBoard, the
# ranks' own output, and for each epoch a picture of the same windows of the validation scene. These are the
# first and the last of them; the reconstruction, which sees nothing but the middle of the network, has hardly
# begun.

# %%
print(*sorted(path.name for path in Path("run").iterdir()))
first, *_, last = sorted(Path("run/pictures").iterdir())
Image(filename=first, width=1000)

# %%
Image(filename=last, width=1000)

# %% [markdown]
# The card of the model holds its configuration and its scores, also on the test scenes, which the training
# has not seen.

# %%
test = read_card(trained).training["test"]
print(f"mean IoU {test['segmentation']['mean_iou']:.2f}")

# %% [markdown]
# ## A scene
#
# Ground of the same world that is in no split. Nothing is computed before `compute()`; then the workers run
# the windows, which overlap and blend. The confidence, a probability in steps of 1/255, says where the model
# is in doubt.

# %%
ground = Landscape(seed=5, height_px=640, width_px=640, origin_px=(8000, 8000))
image = ground.to_xarray("hrms").compute()
truth = ground.to_xarray("classes").squeeze("band").compute()

model = rsmtl.load_model(trained)
settings = rsmtl.Settings(window=64, overlap=16, extras=("confidence",))
heads = rsmtl.predict(scene_from_arrays({"image": image}), model, settings).compute()
found = scores(confusion_matrix(truth.values, heads.segmentation.values, len(CLASSES)))

# %%
figure, axes = plt.subplots(2, 2, figsize=(11, 11.6), layout="constrained")
axes[0, 0].imshow((image.transpose("y", "x", "band") / 1000).clip(0, 1))
axes[0, 0].set_title("image")
axes[0, 1].imshow(truth, **as_classes)
axes[0, 1].set_title("classes: truth")
axes[1, 0].imshow(heads.segmentation_confidence / 255, cmap="cividis", vmin=0, vmax=1)
axes[1, 0].set_title("confidence, from 0 (dark) to 1 (bright)")
axes[1, 1].imshow(heads.segmentation, **as_classes)
axes[1, 1].set_title(f"classes: predicted, mean IoU {found.mean_iou:.2f}")
for one in axes.flat:
    one.set(xticks=[], yticks=[])
figure.legend(handles=legend, ncols=len(legend), loc="outside lower center", frameon=False)
plt.show()

# %% [markdown]
# A minute buys no more than that. `rsmtl train urec-landscape --workers 4` trains the model of the demo on
# the same kind of data, and the page *How to train* says what else a configuration may hold.

# %%
stack.close()
