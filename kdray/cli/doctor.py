"""`kdray doctor`: this machine, line by line, and what to change."""

import sys
from typing import Any

from kdray.api.doctor import doctor
from kdray.cli.show import bold


def show_machine(*, ray: bool, address: str | None, quiet: bool) -> dict[str, Any]:
    """Print what was found; advice goes to standard error."""
    found = doctor(ray=ray, address=address)
    if not quiet:
        for name, value in found.items():
            if name != "advice":
                print(f"{bold(name)}: {_shown(name, value)}")
        for sentence in found["advice"]:
            print(f"kdray: {sentence}.", file=sys.stderr)
    return found


def _shown(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(name, each)}" for key, each in value.items())  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType]
    if name.endswith("bytes") and isinstance(value, int):
        return f"{value / 1e9:.1f} GB"
    return "not installed" if name == "packages" and value is None else str(value)
