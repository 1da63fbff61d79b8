"""Equations become MathML, and one that is not understood is not passed over."""

import re

import pytest

from docs.mathml import mathml


def test_equation_is_converted() -> None:
    found = mathml(r"\mathcal{L} = \frac{1}{N} \sum_{i=1}^{N} \lvert x_i - \hat{x}_i \rvert", "block")
    assert found.startswith('<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">')
    assert "<mfrac>" in found
    assert "\\" not in found


def test_lines_are_aligned() -> None:
    found = mathml("\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}", "block")
    assert found.count("<mtr>") == 2
    assert re.findall(r"<mi>(\w)</mi>", found) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("latex", [r"\frac{1}{", r"a + \nonsense", r"a & b"])
def test_what_is_not_understood_is_said(latex: str) -> None:
    with pytest.raises(ValueError, match="equation"):
        mathml(latex, "inline")
