"""What an object shows of itself in a shell and in a notebook: a few facts, never its arrays or weights."""

from html import escape


class Shown:
    """Gives a short `repr`, and a small table in notebooks, of the facts that a class names."""

    def facts(self) -> dict[str, str]:
        """Return what is shown, in order; the first is the object's name."""
        raise NotImplementedError

    def __repr__(self) -> str:
        (_, name), *rest = self.facts().items()
        told = "; ".join(f"{key} {value}" for key, value in rest)
        return f"<{type(self).__name__} {name}{': ' if told else ''}{told}>"

    def _repr_html_(self) -> str:
        (_, name), *rest = self.facts().items()
        rows = "".join(
            f'<tr><th style="text-align:left;vertical-align:top">{escape(key)}</th>'
            f'<td style="text-align:left">{escape(value)}</td></tr>'
            for key, value in rest
        )
        return f"<table><caption>{type(self).__name__} <b>{escape(name)}</b></caption>{rows}</table>"


def few(names: tuple[str, ...], longest: int = 6) -> str:
    """Return names in a row; of many, the first."""
    shown = ", ".join(names[:longest])
    return shown if len(names) <= longest else f"{shown} and {len(names) - longest} more"
