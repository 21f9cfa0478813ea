"""The pages of the documentation, and the code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def code_with(page: Path, text: str) -> str:
    """The one Python block of a page that contains a text."""
    blocks = [code for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL) if text in code]
    assert len(blocks) == 1, f"{page.name} has {len(blocks)} Python blocks with {text!r}"
    return blocks[0]


def shell_lines(page: Path) -> list[str]:
    """The lines of all shell blocks of a page."""
    return [
        line for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL) for line in block.splitlines()
    ]
