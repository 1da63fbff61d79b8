"""Run the blocks of a page, in a process that is started for it: `python run_page.py BLOCKS` (JSON, as in `pages`)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_SHELL = 'while read -r file <&3; do source "$file" 3<&- 4>&- </dev/null; echo done >&4; done'


class Shell:
    """One bash for all console blocks: variables, jobs and the folder go on from one to the next."""

    def __init__(self) -> None:
        told, self._tell = os.pipe()
        self._hear, heard = os.pipe()
        for number in (told, heard):
            os.set_inheritable(number, True)
        script = _SHELL.replace("<&3", f"<&{told}").replace("3<&-", f"{told}<&-")
        script = script.replace(">&4", f">&{heard}").replace("4>&-", f"{heard}>&-")
        self._bash = subprocess.Popen(["bash", "-e", "-c", script], pass_fds=(told, heard))
        os.close(told)
        os.close(heard)

    def run(self, script: Path) -> None:
        """Run a block; ends this process with the shell's status if it fails."""
        os.write(self._tell, f"{script}\n".encode())
        if not os.read(self._hear, 100):
            raise SystemExit(f"the block ended with exit status {self._bash.wait()}")


def main(blocks: list[dict[str, Any]], page: str, scratch: Path) -> None:
    """Run the blocks; a line before each says which it is."""
    shell, namespace = Shell(), {"__name__": "__main__"}
    for block in blocks:
        print(f"--- {page}:{block['line']} ({block['kind']})", flush=True)
        text = "\n" * (block["line"] - 1) + block["text"]  # errors name the page's own lines
        if block["kind"] == "python":
            exec(compile(text, page, "exec"), namespace)
            sys.stdout.flush()
        else:
            script = scratch / f"{block['line']}.sh"
            script.write_text(block["text"])
            shell.run(script)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text())
    main(given["blocks"], given["page"], Path(sys.argv[1]).parent)
