from rsmtl.scene.listed import LONGEST, MOST, listed


def test_few_names_are_given_whole():
    assert listed(["red", 2]) == "red, 2"
    assert listed([]) == "none"


def test_many_and_long_names_are_cut():
    assert listed(range(MOST)).endswith(f", {MOST - 1}")
    assert listed(range(1000)).endswith(f", {MOST - 1}, …")
    assert listed(["a" * 1000]) == "a" * (LONGEST - 1) + "…"
