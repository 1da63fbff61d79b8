"""The test of pages would find a page that does not work, and leaves nothing behind."""

from pathlib import Path

import psutil
import pytest

from tests.docs.pages import blocks, commands
from tests.docs.running import run
from tests.docs.test_blocks import check_yaml

pytestmark = pytest.mark.pages

PAGE = """# A page

<!-- run first:
echo 3 > hidden

-->

```console
$ count=$(cat hidden)
$ python -c 'import sys; print(sys.argv)' one \\
    two
['-c', 'one', 'two']
$ cat > made.txt <<'EOF'
made
EOF
$ sleep 1000 &
$ sleeper=$!
```

```python
from pathlib import Path

made = Path("made.txt").read_text()
```

<!-- not run: it would end the world -->

```python
raise SystemExit("ran")
```

```python
Path("seen").write_text(made * 2)
```

```console
$ test "$count" = 3
$ kill $sleeper
$ sleep 1000 &
$ echo $! > sleeper
```
"""


def written(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def test_blocks_share_names_variables_and_folder(tmp_path: Path) -> None:
    status, printed = run(written(tmp_path, PAGE), tmp_path, 60)
    assert status == 0, printed
    assert (tmp_path / "work" / "seen").read_text() == "made\n" * 2
    assert not psutil.pid_exists(int((tmp_path / "work" / "sleeper").read_text()))


@pytest.mark.parametrize(
    "block",
    ["```console\n$ false\n$ true\n```", "```python\n1 / 0\n```", "```console\n$ rsmtl nonsense\n```"],
)
def test_block_that_fails_is_named(block: str, tmp_path: Path) -> None:
    status, printed = run(written(tmp_path, f"text\n\n{block}\n"), tmp_path, 60)
    assert status
    assert "page.md:4" in printed


def test_page_that_hangs_is_given_up(tmp_path: Path) -> None:
    status, _ = run(written(tmp_path, "```console\n$ sleep 1000\n```\n"), tmp_path, 1)
    assert status is None


@pytest.mark.parametrize("language", ["", "bash", "{code-block} python", "{note}\n```python"])
def test_block_that_would_escape_is_refused(language: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"page.md:1: a block's language must be one of console, "):
        blocks(written(tmp_path, f"````{language}\nls\n````\n"))


@pytest.mark.parametrize("text", ["make test\n", "$ ls \\\n", "$ cat <<EOF\na\n"])
def test_console_block_without_a_whole_command_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="commands begin with"):
        commands(text)


def test_configuration_that_is_wrong_is_found() -> None:
    with pytest.raises(ValueError, match="epochs"):
        check_yaml({"system": "urec", "data": {"name": "dubai"}, "batch": 8, "optimizer": {"lr": 0.1}})
