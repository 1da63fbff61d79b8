"""`Search`: which items of a catalogue are wanted, by time, place, clouds and collection."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; a west greater than the east says that it crosses the antimeridian."""


class Search(BaseModel):
    """Bounds on the items of a catalogue; an item is wanted if it keeps to all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    since: datetime | None = None
    """Earliest time of acquisition, or a date, which means its beginning; UTC unless it names a zone."""
    until: datetime | None = None
    """Latest time of acquisition, or a date, which means its end; UTC unless it names a zone."""
    bbox: Box | None = None
    """West, south, east and north in degrees, to be touched; a west greater than the east crosses the antimeridian."""
    max_cloud: float | None = Field(default=None, ge=0, le=100)
    """Largest cloud cover in percent; an item that does not tell its own is not wanted."""
    collections: tuple[str, ...] = ()
    """Ids of the collections to take items from; all unless some are named."""

    @field_validator("since", "until", mode="before")
    @classmethod
    def _moment(cls, value: Any, info: Any) -> Any:
        if isinstance(value, str):
            value = _read_moment(value)
        elif value is not None and not isinstance(value, date):  # a datetime is a date
            raise ValueError("give a date as in 2024-05-31, or a time as in 2024-05-31T12:00:00Z")
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime.combine(value, time.min if info.field_name == "since" else time.max)
        if isinstance(value, datetime) and value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return value

    @field_validator("bbox")
    @classmethod
    def _on_earth(cls, box: Box | None) -> Box | None:
        if box is None:
            return None
        west, south, east, north = box
        if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):  # no NaN either
            raise ValueError(
                "give west, south, east and north in degrees, longitudes from -180 to 180, south below north"
            )
        return box

    @model_validator(mode="after")
    def _in_order(self) -> "Search":
        if self.since and self.until and self.since > self.until:
            raise ValueError("`since` is later than `until`: exchange them")
        return self

    def __str__(self) -> str:
        said = {name: getattr(self, name) for name in type(self).model_fields}
        return ", ".join(f"{name} {_said(value)}" for name, value in said.items() if value not in (None, ()))

    @property
    def bounded(self) -> bool:
        """Whether there is any bound."""
        return self != Search()

    def matches(self, item: Mapping[str, Any]) -> bool:
        """Whether an item, as it stands in its JSON, keeps to all bounds.

        Its time is the interval from `start_datetime` to `end_datetime` if it has both, else `datetime`. Without
        cloud cover, or without bounding box and geometry that can be used, it does not keep to a bound on these.

        Raises
        ------
        ValueError
            If this is no STAC item: it is none, or has no time that can be read.
        """
        properties = item.get("properties")
        if item.get("type") != "Feature" or not isinstance(properties, Mapping):
            raise ValueError("not a STAC item")
        start, end = _interval(properties)
        return (
            (self.since is None or end >= self.since)
            and (self.until is None or start <= self.until)
            and (not self.collections or item.get("collection") in self.collections)
            and (self.max_cloud is None or _at_most(properties.get("eo:cloud_cover"), self.max_cloud))
            and (self.bbox is None or _touches(item, self.bbox))
        )


def _read_moment(text: str) -> date:
    """Read a date or a time; numbers are neither, which pydantic would take for seconds since 1970."""
    for kind in (date, datetime):  # a datetime reads dates too, and does not say that it was one
        try:
            return kind.fromisoformat(text.strip())
        except ValueError:
            continue
    raise ValueError("give a date as in 2024-05-31, or a time as in 2024-05-31T12:00:00Z")


def _said(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return ",".join(map(_said, value)) if isinstance(value, tuple) else f"{value}".removesuffix(".0")


def _touches(item: Mapping[str, Any], box: Box) -> bool:
    from rsmtl.scene.touching import touches  # not above: shapely would keep the command line's help waiting

    return touches(item.get("bbox"), item.get("geometry"), box)


def _interval(properties: Mapping[str, Any]) -> tuple[datetime, datetime]:
    start, end = properties.get("start_datetime"), properties.get("end_datetime")
    if not start or not end:
        start = end = properties.get("datetime")
    return _time(start), _time(end)


def _time(text: Any) -> datetime:
    if not isinstance(text, str):
        raise ValueError("a STAC item without a time")
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = _loosely(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _loosely(text: str) -> datetime:
    """Read the other ways of writing a time that pystac, too, takes."""
    from pystac.utils import str_to_datetime

    try:
        return str_to_datetime(text)
    except (ValueError, OverflowError) as error:
        raise ValueError("a STAC item whose time cannot be read") from error


def _at_most(found: Any, limit: float) -> bool:
    if isinstance(found, str):  # as some catalogues have it
        with suppress(ValueError):
            found = float(found)
    return isinstance(found, int | float) and found <= limit  # NaN is not
