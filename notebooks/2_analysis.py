# %% [markdown]
# # Analysis on the cluster
#
# Two dates of one place, and what changed between them: areas of classes per parcel, a change matrix, a change map.
# The products stay on the cluster's side; only tables and small pictures come to the notebook. It takes less than a
# minute on two cores, and uses xarray and Dask as they are.

# %%
import json
from contextlib import ExitStack
from math import prod
from pathlib import Path

import dask
import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rasterio.features
import shapely.affinity
import xarray as xr
from affine import Affine
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from rasterio.warp import transform_geom

import rsmtl
from rsmtl.dispatch import local_cluster
from rsmtl.synthetic import Landscape

# %% [markdown]
# ## Two dates of one place
#
# So that the change is known, the second date is made from the first: a quarter of the village is built once more on
# the fields, the light is weaker, and the sensor adds noise of its own.

# %%
world = Landscape(seed=11, height_px=1280, width_px=1280)
rendered = world.render(slice(None), slice(None))
image, truth = rendered.hrms, rendered.classes

village, fields = np.s_[..., 260:580, 900:1240], np.s_[..., 690:1010, 250:590]
later_image, later_truth = image.copy(), truth.copy()
later_image[fields], later_truth[fields] = image[village], truth[village]

noise = np.random.default_rng(0).normal(scale=6, size=image.shape)
later_image = np.clip(0.9 * later_image + noise, 1, 2047).astype(np.uint16)

on_grid = world.to_xarray("hrms")
for date, values in {"2024-06-01": image, "2025-06-01": later_image}.items():
    on_grid.copy(data=values).rio.to_raster(f"{date}.tif", tiled=True)

# %% [markdown]
# ## Two products, one cluster
#
# The cluster that makes the products stays for what follows. `cluster_at("tcp://host:8786")` in place of
# `local_cluster(2)` uses one that stands; the rest is the same.

# %%
stack = ExitStack()
cluster = stack.enter_context(local_cluster(2))

model = rsmtl.load_model("urec-landscape")
settings = rsmtl.Settings(extras=("confidence",))
products = {
    date: rsmtl.write(rsmtl.open_scene(f"{date}.tif"), model, "products", settings, executor=cluster)
    for date in ("2024-06-01", "2025-06-01")
}

# %% [markdown]
# A product's Zarr store has a group per GSD. xarray opens it lazily; as the cluster is Dask's default from here on, the
# workers read what is asked for.

# %%
before, after = (
    xr.open_zarr(
        product.folder / "product.zarr",
        group="0.5m",
        consolidated=False,
        decode_coords="all",
        mask_and_scale=False,
    ).squeeze()
    for product in products.values()
)
after

# %% [markdown]
# ## Parcels
#
# Twelve parcels as GeoJSON, in longitude and latitude, as a land register would give them.

# %%
boxes = [shapely.box(x, y, x + 130, y + 175) for y in (50, 235, 420) for x in (50, 190, 330, 470)]
turned = shapely.affinity.rotate(shapely.MultiPolygon(boxes), 8)
placed = shapely.affinity.translate(turned, *np.array(before.rio.bounds())[:2])
parcels = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "properties": {"parcel": number},
            "geometry": transform_geom(before.rio.crs, "EPSG:4326", shapely.geometry.mapping(polygon)),
        }
        for number, polygon in enumerate(placed.geoms, start=1)
    ],
}
Path("parcels.geojson").write_text(json.dumps(parcels, indent=1))
print(f"{len(parcels['features'])} parcels of {boxes[0].area / 10_000:.2f} ha")

# %% [markdown]
# Each block of the product's grid gets its parcels' numbers where it is needed: the raster of parcels exists only on
# the workers, a block at a time. 0 is no parcel.

# %%
crs, transform = before.rio.crs, before.rio.transform()
shapes = [
    (transform_geom("EPSG:4326", crs, feature["geometry"]), feature["properties"]["parcel"])
    for feature in parcels["features"]
]


def parcel_numbers(block_info):
    """Draw the parcels into one block, whose place Dask says."""
    (y0, y1), (x0, x1) = block_info[None]["array-location"]
    return rasterio.features.rasterize(
        shapes, out_shape=(y1 - y0, x1 - x0), transform=transform * Affine.translation(x0, y0), dtype="uint8"
    )


numbers = da.map_blocks(parcel_numbers, chunks=before.segmentation.chunks, dtype="uint8")

# %% [markdown]
# ## Areas per parcel, and a change matrix
#
# Both are counts of pairs: of parcel and class, and of class before and class after. A block gives a small table, and
# the tables are added up on the workers. What is nodata (255) counts in the last row or column.

# %%
classes = model.spec.head("segmentation").classes
names = [found.name for found in classes]
n_rows, n_classes = len(shapes) + 1, len(classes)


def pairs(first, second, shape):
    """Count how often each pair of numbers occurs in one block."""
    together = np.ravel_multi_index((first, second), shape, mode="clip")
    return np.bincount(together.ravel(), minlength=prod(shape)).reshape(1, 1, *shape)


def count_pairs(first, second, shape):
    """Add up the tables of all blocks."""
    blocks = [(1,) * n for n in first.numblocks]
    tables = da.map_blocks(
        pairs, first, second, shape, new_axis=(2, 3), chunks=(*blocks, *shape), dtype=np.int64
    )
    return tables.sum(axis=(0, 1))


changed = (before.segmentation != after.segmentation) & (before.segmentation < n_classes)
confidence = after.segmentation_confidence * after.segmentation_confidence.attrs["scale_factor"]

results = dask.compute(
    count_pairs(numbers, before.segmentation.data, (n_rows, n_classes + 1)),
    count_pairs(numbers, after.segmentation.data, (n_rows, n_classes + 1)),
    count_pairs(before.segmentation.data, after.segmentation.data, (n_classes + 1, n_classes + 1)),
    confidence.where(changed).mean(),
    confidence.where(~changed).mean(),
)

came = sum(result.nbytes for result in results)
stood = sum(
    dataset[name].nbytes
    for dataset in (before, after)
    for name in ("segmentation", "segmentation_confidence")
)
print(f"{came:,} bytes came to the notebook, of arrays of {stood:,} bytes on the cluster's side")

# %%
hectares = abs(transform.a * transform.e) / 10_000
area_before, area_after, matrix = (table[..., :n_classes] * hectares for table in results[:3])
area_before, area_after, matrix = area_before[1:], area_after[1:], matrix[:n_classes]

parcel_names = pd.RangeIndex(1, n_rows, name="parcel")
pd.concat(
    {
        "2024 (ha)": pd.DataFrame(area_before, parcel_names, names),
        "2025 (ha)": pd.DataFrame(area_after, parcel_names, names),
    },
    axis=1,
).round(2)

# %% [markdown]
# The generator knows how much was built, and how much of the ground changed its class at all.

# %%
building = names.index("building")
built = (matrix.sum(axis=0) - matrix.sum(axis=1))[building]
truly_built = ((later_truth == building).sum() - (truth == building).sum()) * hectares
print(f"buildings: {built:+.2f} ha in the products, {truly_built:+.2f} ha in truth")

found = (matrix.sum() - np.trace(matrix)) / matrix.sum()
print(f"changed: {found:.1%} of the ground in the products, {(truth != later_truth).mean():.1%} in truth")
print(f"mean confidence in 2025: {results[3]:.2f} where the class changed, {results[4]:.2f} elsewhere")

# %%
difference = area_after - area_before
moved = np.where(np.eye(n_classes), 0, matrix)

figure, (left, right) = plt.subplots(1, 2, figsize=(13, 5.6), layout="constrained")
most = np.abs(difference).max()
shown = left.imshow(difference, cmap="PuOr", vmin=-most, vmax=most, aspect="auto")
figure.colorbar(shown, ax=left, label="ha")
left.set(title="change of area, 2024 to 2025", ylabel="parcel")
left.set_yticks(range(n_rows - 1), parcel_names)

shown = right.imshow(moved, cmap="Purples", aspect="auto")
figure.colorbar(shown, ax=right, label="ha that changed")
right.set(title="class before and after (ha)", xlabel="class in 2025", ylabel="class in 2024")
right.set_yticks(range(n_classes), names)

for axes, values, colored in ((left, difference, difference), (right, matrix, moved)):
    axes.set_xticks(range(n_classes), names)
    for (row, column), value in np.ndenumerate(values):
        if abs(value) >= 0.005:
            dark = abs(colored[row, column]) > 0.7 * np.abs(colored).max()
            color = "white" if dark else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color)
plt.show()

# %% [markdown]
# ## A change map
#
# A picture needs fewer pixels than the product has. The share of changed pixels in squares of 4 m, and every fourth
# pixel of the class maps, are computed on the cluster and come as small arrays.

# %%
small_before, small_after, share = dask.compute(
    before.segmentation[::4, ::4], after.segmentation[::4, ::4], changed.coarsen(y=8, x=8).mean()
)

# %%
class_colors = ListedColormap([np.divide(found.color, 255) for found in classes])
west, south, east, north = before.rio.bounds()
on_map = {"extent": (0, east - west, 0, north - south), "interpolation": "nearest"}

figure, axes = plt.subplots(1, 3, figsize=(15, 5.3), layout="constrained", sharey=True)
for panel, values, year in ((axes[0], small_before, 2024), (axes[1], small_after, 2025)):
    panel.imshow(values, cmap=class_colors, vmin=-0.5, vmax=n_classes - 0.5, **on_map)
    panel.set(title=f"classes, {year}")
shown = axes[2].imshow(share, cmap="magma_r", vmin=0, vmax=1, **on_map)
axes[2].set(title="change, with parcels")
figure.colorbar(shown, ax=axes[2], label="share of changed pixels in 4 m × 4 m", shrink=0.85)
for number, polygon in enumerate(shapely.affinity.translate(placed, -west, -south).geoms, start=1):
    axes[2].plot(*polygon.exterior.xy, color="tab:blue", linewidth=1.2)
    centre = {"ha": "center", "va": "center", "weight": "bold", "color": "tab:blue"}
    axes[2].text(
        *polygon.centroid.coords[0],
        number,
        **centre,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
for panel in axes:
    panel.set_xlabel("east (m)")
axes[0].set_ylabel("north (m)")
legend = [Patch(color=np.divide(found.color, 255), label=found.name) for found in classes]
figure.legend(handles=legend, loc="outside lower center", ncols=n_classes, frameon=False)
plt.show()

# %% [markdown]
# What was built is found where it was built, and some metres around it, as the model looks at a pixel's surroundings.
# The rest lies at edges of classes, where noise and light decide: a reason to look at areas rather than at pixels.

# %%
stack.close()
