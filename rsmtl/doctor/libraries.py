"""What GDAL can read and write."""

from collections.abc import Iterator, Mapping
from typing import Any

from rsmtl.doctor.finding import Finding

NEEDED = {"GTiff": "rasters", "COG": "every product's Cloud Optimized GeoTIFFs"}
USEFUL = {"JP2OpenJPEG": "Sentinel-2 as it is distributed"}


def look_at_gdal() -> dict[str, Any]:
    """Return GDAL's version and those of the drivers above that it has."""
    import rasterio

    with rasterio.Env() as env:
        has = env.drivers()
    return {"version": rasterio.__gdal_version__, "drivers": [n for n in (*NEEDED, *USEFUL) if n in has]}


def judge_gdal(found: Mapping[str, Mapping[str, Any]], ours: str) -> Iterator[Finding]:
    """Tell of drivers that are missing, and of another GDAL than `ours`."""
    for place, seen in found.items():
        version = seen["version"]
        for name, purpose in NEEDED.items():
            if name not in seen["drivers"]:
                text = f"GDAL {version} lacks the driver {name}, for {purpose}"
                yield Finding(
                    "GDAL", text, "mend", "install rasterio from PyPI or conda-forge", where=(place,)
                )
        for name, purpose in USEFUL.items():
            if name not in seen["drivers"]:
                text = f"GDAL {version} lacks the driver {name}, for {purpose}"
                yield Finding("GDAL", text, "note", where=(place,))
        if version != ours:
            text = f"GDAL is {version}, {ours} here"
            yield Finding("GDAL", text, "mend", "install the same rasterio in both places", where=(place,))
        elif set(NEEDED) <= set(seen["drivers"]):
            yield Finding("GDAL", f"{version}, drivers {', '.join(seen['drivers'])}", where=(place,))
