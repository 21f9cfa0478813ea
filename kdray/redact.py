"""Passwords in URLs: they are used, and shown nowhere."""

import re

# A password may hold slashes, as AWS's secrets do, so it ends at the last @ of its word (but a port is none).
IN_ADDRESS = re.compile(r"(://[^\s:/@?#]*):(?!\d{1,5}/)[^\s@]*[^\s/@][^\s@]*@")
OPTION = re.compile(r"([?&](?:password|passwd|secret_key|sslpassword)=)[^\s&'\"]+", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """The text with every `scheme://user:password@host` in it as `scheme://user:***@host`, and every option
    `?password=…` without its value."""
    return OPTION.sub(r"\1***", IN_ADDRESS.sub(r"\1:***@", text))
