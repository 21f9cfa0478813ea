"""Passwords in URLs: they are used, and shown nowhere."""

import re

# A password may hold slashes, colons and at signs, so it ends at the last @ of its word, or of its quotes. After a
# scheme of the web, `host:port/` is no password: no reader of such an address takes it for one.
_START = (
    r"(?<![\w+.-])((?:(?P<web>https?|wss?|ray|grpc)|(?!(?:https?|wss?|ray|grpc)://)[A-Za-z][\w+.-]*)://[^\s:/?#'\"]*:)"
    r"(?(web)(?!\d{1,5}(?:[\s/?#,;'\")]|$)))"
)
IN_ADDRESS = re.compile(_START + r"\S+@")
IN_QUOTES = re.compile(r"(?<=(['\"]))" + _START + r"(?:(?!\1)[^\n])+@")
ENCODED = re.compile(r"(%3A%2F%2F(?:(?!%3A|%2F)[^\s&])*%3A)[^\s&]+%40", re.IGNORECASE)
OPTION = re.compile(
    r"((?:^|[?&;\s])-{0,2}(?:[\w-]*password|passwd|pwd|[\w-]*secret(?:[_-]\w+)*|[\w-]*token|api[_-]?key)=)[^\s&'\"]+",
    re.IGNORECASE,
)


def without_passwords(text: str) -> str:
    """The text with every `scheme://user:password@host` in it as `scheme://user:***@host`, and every option
    `password=…`, `token=…` or the like without its value. Where an address can be read in two ways, it is taken for
    one with a password."""
    text = IN_QUOTES.sub(r"\2***@", text)
    text = IN_ADDRESS.sub(r"\1***@", text)
    return OPTION.sub(r"\1***", ENCODED.sub(r"\1***%40", text))
