"""The pages of the documentation, and the code in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
ALL = (*DOCS, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "cluster/README.md")


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of every block of code of a page, in order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def code_with(page: Path, text: str) -> str:
    """The one Python block of a page that contains a text."""
    found = [code for language, code in blocks(page) if language == "python" and text in code]
    assert len(found) == 1, f"{page.name} has {len(found)} Python blocks with {text!r}"
    return found[0]


def shell_lines(page: Path) -> list[str]:
    """The lines of all shell blocks of a page, continued ones as one."""
    return [
        line
        for language, block in blocks(page)
        if language == "sh"
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip()
    ]
