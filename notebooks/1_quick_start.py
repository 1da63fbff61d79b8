# %% [markdown]
# # Quick start
#
# From a scene to a product: look at a piece of it before anything else is computed, see what the whole will cost, write
# it with two worker processes, and read what was written. It takes half a minute on two cores, and needs no data: the
# scene is generated.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pystac
import rioxarray
from dask.diagnostics import Profiler
from IPython.display import Image
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

import rsmtl
from rsmtl.dispatch import local_cluster
from rsmtl.engine.cost import cost
from rsmtl.store.quicklook import stretched
from rsmtl.synthetic import write_catalogue
from rsmtl.units import size

# %% [markdown]
# ## A scene and a model
#
# The generator writes a small STAC catalogue; its scenes have a nodata collar, as satellites deliver them. A scene
# can also be a raster, a Zarr store or an item of a STAC API. Opening one reads metadata only.

# %%
write_catalogue(Path("catalogue"), n_scenes=1, size_px=1536, seed=21, collar=True)

scene = rsmtl.open_scene("catalogue/landscape-0001/landscape-0001.json", assets=["hrms"])
model = rsmtl.load_model("urec-landscape")

for head in model.spec.heads:
    print(f"{head.name}: {head.channels} channels, {head.kind}")

# %% [markdown]
# ## A piece of the result, before the rest
#
# `predict` gives a lazy `xarray.Dataset` with a variable for each head. Nothing has run yet. What is asked for decides
# what runs: here a piece of 400 × 400 pixels, which four windows touch.

# %%
heads = rsmtl.predict(scene, model)
heads

# %%
rows, columns = slice(250, 650), slice(700, 1100)

with Profiler() as profiler:
    piece = heads.segmentation[rows, columns].compute()

n_run = sum("run_chunk" in str(task.key) for task in profiler.results)
n_windows = rsmtl.plan(scene, model, rsmtl.Settings()).lattice.n_windows
print(f"{n_run} of {n_windows} windows were run for this piece")

# %%
image = rioxarray.open_rasterio("catalogue/landscape-0001/hrms.tif", masked=True)

figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.2), layout="constrained")
rsmtl.plot(image[:, rows, columns], ax=left, title="input")
rsmtl.plot(piece, ax=right, title=f"classes: {n_run} of {n_windows} windows were run")
plt.show()

# %% [markdown]
# ## What the whole will cost
#
# A plan is made before anything runs: sizes, why they were chosen so, and upper bounds of bytes and memory. We also ask
# for the probability of the most probable class.

# %%
settings = rsmtl.Settings(extras=("confidence",))
projected = cost(rsmtl.plan(scene, model, settings))

print(f"{projected.n_windows} windows of {projected.window_px} px that overlap by {projected.overlap_px} px")
print(f"{projected.n_chunks} chunks of {projected.chunk_px} px")
print(f"{size(projected.read_bytes)} read, {size(projected.written_bytes)} written before compression")
print(f"{size(projected.worker_bytes)} of memory for a worker")
for name, reason in projected.why.items():
    print(f"{name}: {reason}")

# %% [markdown]
# ## The whole scene, on two worker processes
#
# `write` leaves a product in a folder of its own. It survives whatever dies: a worker costs the jobs it was running,
# and an interrupted run is taken up with `resume=True`. `cluster_at("tcp://host:8786")` uses a cluster that stands
# instead.

# %%
with local_cluster(2) as cluster:
    product = rsmtl.write(scene, model, "products", settings, executor=cluster)

print(f"{product.windows_run} windows, {product.n_px / 1e6:.1f} Mpx, {product.seconds:.1f} s")

# %% [markdown]
# A second call finds the very product, by a fingerprint of model, settings and inputs, and runs nothing.

# %%
again = rsmtl.write(scene, model, "products", settings)
print(f"reused: {again.reused}, {again.windows_run} windows run, {again.seconds:.2f} s")

# %% [markdown]
# ## What is in the product

# %%
Image(str(product.folder / "quicklook.png"))

# %% [markdown]
# `item.json` is a STAC item. It is written last: where there is one, the product is complete.

# %%
item = pystac.Item.from_file(product.folder / "item.json")
print(item.id, item.datetime)
for name in ("proj:code", "mlm:name", "processing:lineage"):
    print(f"{name}: {item.properties[name]}")
for name, asset in item.assets.items():
    print(f"{name:<24} {asset.media_type}")

# %% [markdown]
# Each output is a Cloud Optimized GeoTIFF too, for QGIS, GDAL and rioxarray: `mask_and_scale` makes probabilities of
# the stored bytes, and NaN of nodata.

# %%
image = rioxarray.open_rasterio("catalogue/landscape-0001/hrms.tif", mask_and_scale=True)
class_map = rioxarray.open_rasterio(product.folder / "segmentation.tif", mask_and_scale=True)

classes = model.spec.head("segmentation").classes
class_colors = ListedColormap([np.divide(found.color, 255) for found in classes])
legend = [Patch(color=np.divide(found.color, 255), label=found.name) for found in classes]
confidence = rioxarray.open_rasterio(product.folder / "segmentation_confidence.tif", mask_and_scale=True)

west, south, east, north = image.rio.bounds()
on_map = {"extent": (0, east - west, 0, north - south), "interpolation": "nearest"}

figure, axes = plt.subplots(1, 3, figsize=(14, 5), layout="constrained", sharey=True)
axes[0].imshow(stretched(image[:, ::2, ::2].values), **on_map)
axes[0].set(title="input", xlabel="east (m)", ylabel="north (m)")
axes[1].imshow(class_map[0, ::2, ::2], cmap=class_colors, vmin=-0.5, vmax=len(classes) - 0.5, **on_map)
axes[1].set(title="classes", xlabel="east (m)")
shown = axes[2].imshow(confidence[0, ::2, ::2], cmap="cividis", vmin=0.3, vmax=1, **on_map)
axes[2].set(title="confidence", xlabel="east (m)")
figure.colorbar(shown, ax=axes[2], label="probability of the class", extend="min", shrink=0.8)
figure.legend(handles=legend, loc="outside lower center", ncols=len(classes), frameon=False)
plt.show()

# %% [markdown]
# From here: areas and change on the products are in [2_analysis](2_analysis.ipynb), and why no seam is to be seen in
# [7_blending](7_blending.ipynb).
