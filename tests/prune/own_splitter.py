"""A sentence splitter of a user's own: one sentence a line."""


def lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)
