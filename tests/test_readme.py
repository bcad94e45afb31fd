"""The Python blocks of README.md run, top to bottom, as one session."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_python_blocks_run(tmp_path, monkeypatch):
    text = README.read_text(encoding="utf-8") if README.exists() else ""
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL))
    if not blocks:
        pytest.skip("README.md has no Python blocks")
    monkeypatch.chdir(tmp_path)
    session: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        # blank lines in front make a traceback point at the line of README.md
        lines_before = text.count("\n", 0, block.start(1))
        exec(compile("\n" * lines_before + block[1], str(README), "exec"), session)
