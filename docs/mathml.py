"""Equations as MathML, made when the site is built: readers need no script, no font and no network for them."""

import re
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

_LEFT_OVER = re.compile(r">([^<]*[\\&_^{}][^<]*)<|(<mo />)")
"""What the converter leaves standing as text, or nothing at all, where it does not know a command."""


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx write equations by this module; `html_math_renderer = "mathml"` chooses it."""
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def mathml(latex: str, display: str) -> str:
    """Return an equation as MathML.

    Parameters
    ----------
    latex
        What stands between the dollars.
    display
        `inline` or `block`.

    Raises
    ------
    ValueError
        If something in it is not understood; a browser would show the command instead.
    """
    known = re.sub(
        r"\\(begin|end)\{aligned\}", r"\\\1{split}", latex
    )  # one thing, and the converter knows this name
    try:
        found = convert(known, display=display)
    except Exception as error:  # the converter's errors have no common base
        raise ValueError(f"cannot read the equation {latex!r}: {type(error).__name__}") from error
    plain = re.sub(r"&#?\w+;", "", found)  # signs that it knows
    if left := _LEFT_OVER.search(plain):
        raise ValueError(f"no MathML for {left.group(1) or 'a command'!r} in the equation {latex!r}")
    return found


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(f'<span class="math">{_written(node, "inline")}</span>')
    raise nodes.SkipNode


def _display(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, "Link to this equation")
        translator.body.append("</span>")
    translator.body.append(_written(node, "block") + "</div>\n")
    raise nodes.SkipNode


def _written(node: nodes.Element, display: str) -> str:
    try:
        return mathml(node.astext(), display)
    except ValueError as error:
        logger.warning("%s", error, location=node, type="math")
        return ""
