"""Numbers as people read them."""

from dask.utils import format_bytes


def size(n_bytes: float) -> str:
    """Return bytes with a unit of 1,024s: `1.25 GiB`."""
    return format_bytes(int(n_bytes))  # type: ignore[no-any-return]


def pixels(n_px: float) -> str:
    """Return a number of pixels: `120.6 Mpx`."""
    return f"{n_px / 1e6:,.1f} Mpx" if n_px >= 1e5 else f"{n_px:,.0f} px"


def px_rate(n_px: float, seconds: float) -> str:
    """Return pixels per second: `1.35 Mpx/s`."""
    return f"{n_px / 1e6 / seconds:,.2f} Mpx/s" if seconds > 0 and n_px > 0 else "– Mpx/s"


def duration(seconds: float) -> str:
    """Return a time: `0.8 s`, `2 min 05 s`, `3 h 12 min`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
