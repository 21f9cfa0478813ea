"""`kdray doctor`: this machine, line by line, and what to change."""

import sys
from typing import Any

from kdray.api.doctor import doctor
from kdray.cli.show import bold
from kdray.errors import ConfigError


def show_machine(*, ray: bool, address: str | None, quiet: bool) -> dict[str, Any]:
    """Print what was found; advice goes to standard error.

    Raises:
        ConfigError: No cluster answers at the address.
    """
    found = doctor(ray=ray, address=address)
    is_lost = address is not None and not found["ray"].startswith("answers")
    if not quiet:
        for name, value in found.items():
            if name != "advice":
                print(f"{bold(name)}: {_shown(name, value)}")
        for sentence in found["advice"]:
            if not (is_lost and sentence.startswith("Ray ")):  # said by the error
                print(f"kdray: {sentence}.", file=sys.stderr)
    if is_lost:
        raise ConfigError(f"Ray {found['ray']}")
    return found


def _shown(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(name, each)}" for key, each in value.items())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType]
    if name.endswith("bytes") and isinstance(value, int):
        return f"{value / 1e9:.1f} GB"
    return "not installed" if name == "packages" and value is None else str(value)
