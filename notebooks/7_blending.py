# %% [markdown]
# # What blending does
#
# A model sees a window at a time, and knows least at a window's edge. Here windows side by side are compared with
# windows that overlap and blend: in pictures, along a profile, and in numbers. Then the weights are added up, and the
# same bits come out of any chunk size and any executor. It takes less than a minute on two cores.

# %%
import hashlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import rsmtl
from rsmtl.blend import axis_weights
from rsmtl.dispatch import local_cluster, threads
from rsmtl.engine.seams import seams
from rsmtl.lattice import Lattice
from rsmtl.store.quicklook import stretched
from rsmtl.synthetic import Landscape

# %% [markdown]
# ## One scene, three overlaps
#
# Windows of 256 pixels, smaller than one would choose, so that there are many seams. No overlap means windows side by
# side; an eighth of a window is what a run chooses by itself; half a window is the most.

# %%
size_px, window_px = 1024, 256
landscape = Landscape(seed=11, height_px=size_px, width_px=size_px)
landscape.to_xarray("hrms").rio.to_raster("scene.tif", tiled=True)

scene = rsmtl.open_scene("scene.tif")
model = rsmtl.load_model("urec-landscape")


def settings(overlap_px, chunk):
    """A window and what varies here."""
    heads = ("segmentation", "reconstruction")  # the second is no product, but shows every step
    return rsmtl.Settings(
        window=window_px, overlap=overlap_px, chunk=chunk, extras=("probabilities",), heads=heads
    )


def opened(product):
    """Return a product's outputs as they are stored, lazily."""
    return xr.open_zarr(
        product.folder / "product.zarr",
        group="0.5m",
        consolidated=False,
        decode_coords="all",
        mask_and_scale=False,
    )


overlaps_px = (0, 32, 128)
with threads(2) as executor:
    products = {
        overlap: rsmtl.write(scene, model, f"overlap-{overlap}", settings(overlap, 2), executor=executor)
        for overlap in overlaps_px
    }
stored = {overlap: opened(product).load() for overlap, product in products.items()}
for overlap, product in products.items():
    print(f"overlap {overlap:>3} px: {product.windows_run} windows")

# %% [markdown]
# The reconstruction keeps broad colours only, so that every step stands out. Below it, the probability of grass where
# four windows meet.

# %%
rows, columns = slice(432, 592), slice(688, 848)
zoom = {"extent": (columns.start, columns.stop, rows.stop, rows.start), "interpolation": "nearest"}
names = [found.name for found in model.spec.head("segmentation").classes]
image = stretched(scene.inputs["image"].data.values)

figure, axes = plt.subplots(2, 4, figsize=(15, 6.6), layout="constrained")
axes[0, 0].imshow(image)
axes[0, 0].set(title="input", ylabel="row (px)")
axes[1, 0].imshow(image[rows, columns], **zoom)
axes[1, 0].set(xlabel="column (px)", ylabel="row (px)")
for column, (overlap, outputs) in enumerate(stored.items(), start=1):
    green = outputs.reconstruction[1]
    whole = axes[0, column].imshow(green, cmap="viridis", vmin=350, vmax=550)
    axes[0, column].set(title=f"overlap {overlap} px" if overlap else "side by side")
    probability = outputs.segmentation_probabilities[names.index("grass"), rows, columns] / 254
    zoomed = axes[1, column].imshow(probability, cmap="cividis", vmin=0, vmax=1, **zoom)
    axes[1, column].set(xlabel="column (px)")
figure.colorbar(whole, ax=axes[0], label="reconstruction, green (DN)", extend="both")
figure.colorbar(zoomed, ax=axes[1], label="probability of grass")
plt.show()

# %% [markdown]
# ## Across the seams
#
# To the left one row of the reconstruction, across the line between two windows. To the right the mean step from each
# column of the scene to the next: side by side, the lines between windows are spikes. What is left at both ends is the
# scene's own edge, beyond which there is nothing to blend with.

# %%
styles = {0: ("tab:red", "side by side"), 32: ("tab:blue", "overlap 32 px"), 128: ("black", "overlap 128 px")}

figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.2), layout="constrained")
for overlap, (color, label) in styles.items():
    green = stored[overlap].reconstruction[1].astype("float64")
    left.plot(range(440, 585), green[660, 440:585], color=color, label=label)
    right.plot(range(1, size_px), np.abs(np.diff(green, axis=1)).mean(axis=0), color=color, label=label)
left.axvline(2 * window_px, color="grey", linestyle=":", linewidth=1)
left.set(title="reconstruction, green, row 660", xlabel="column (px)", ylabel="DN")
right.set(title="mean step between neighbouring columns", xlabel="column (px)", ylabel="DN")
right.set_xticks(range(0, size_px + 1, window_px))
left.legend(frameon=False)
right.legend(frameon=False)
plt.show()

# %% [markdown]
# `rsmtl report` and `rsmtl verify` look for bands and steps where windows meet, on samples of any product, and say in
# words whether an eye can see them. A scene of so few windows tells of strong ones only.

# %%
measured = {}
for overlap, product in products.items():
    for seam in seams(product.folder):
        measured[seam.output, f"overlap {overlap} px"] = seam.words

pd.Series(measured).unstack()[[f"overlap {overlap} px" for overlap in overlaps_px]]

# %% [markdown]
# ## The weights of the windows
#
# Each window has weights that fall over the overlap, while those of its neighbour rise; at the scene's edge there is no
# ramp. They are multiples of 1/2048, so that they add up to one exactly, not nearly.

# %%
lattice = Lattice(height=size_px, width=size_px, window=window_px, overlap=128)
n_windows = lattice.x.n_windows


def weights_of(index, shape="linear"):
    """Return a window's weights along one axis."""
    first, last = index == 0, index == n_windows - 1
    return axis_weights(window_px, lattice.overlap, 0, first, last, shape)


total = np.zeros((size_px, size_px), np.float32)
for row in range(n_windows):
    for column in range(n_windows):
        y, x = lattice.y.window_span(row).slice, lattice.x.window_span(column).slice
        total[y, x] += np.outer(weights_of(row), weights_of(column))
print(f"the sum of {lattice.n_windows} windows, at every pixel: {np.unique(total)}")

# %%
figure, axes = plt.subplots(2, 1, figsize=(12, 4.6), layout="constrained", sharex=True)
for panel, shape in zip(axes, ("linear", "cosine"), strict=True):
    along = np.zeros(size_px, np.float32)
    for index in range(n_windows):
        span = lattice.x.window_span(index)
        weights = weights_of(index, shape)
        panel.fill_between(range(span.start, span.stop), weights, alpha=0.35, linewidth=0)
        along[span.slice] += weights
    panel.plot(along, color="black", label="sum")
    panel.set(title=f"{shape} ramps of {lattice.overlap} px", ylabel="weight", ylim=(0, 1.1))
axes[0].legend(frameon=False, loc="lower right")
axes[1].set_xlabel("column (px)")
plt.show()

# %% [markdown]
# ## The same bits, whatever the layout
#
# Sums that are exact do not depend on their order. So the size of the chunks, who runs them, and which is done first
# change no bit of the product: one sha256 for all.


# %%
def sha256(outputs):
    """Digest of all values that a product stores."""
    digest = hashlib.sha256()
    for name in sorted(outputs.data_vars):
        digest.update(outputs[name].values.tobytes())
    return digest.hexdigest()[:16]


found = {("two threads", 2): sha256(stored[32])}
found["lazy dataset", 1] = sha256(rsmtl.predict(scene, model, settings(32, 1)))
with local_cluster(2) as cluster:
    product = rsmtl.write(scene, model, "two-processes", settings(32, 3), executor=cluster)
found["two processes", 3] = sha256(opened(product))
assert len(set(found.values())) == 1

pd.Series(found, name="sha256").rename_axis(["run by", "windows along a chunk's edge"]).to_frame()
