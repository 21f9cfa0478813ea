"""Stand-ins for programs that need a cluster: they write down how they were called, and with which environment."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
PINNED_RAY = next(
    line.removeprefix("ray==") for line in CONSTRAINTS.read_text().splitlines() if line.startswith("ray==")
)
FIELD, END = "\x1f", "\x1e"
NOTED = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ADDRESS", "RAY_enable_autoscaler_v2", "OMP_NUM_THREADS")
# One write a call, so that programs that run at the same time do not mix.
HEAD = f"""#!/bin/bash
note() {{
    line=$(printf '%s\\x1f' "$1" {" ".join(f'"${{{name}-}}"' for name in NOTED)} \
        "$(cat "${{RAY_AUTH_TOKEN_PATH:-/dev/null}}" 2>/dev/null)" "${{@:2}}")
    printf '%s\\x1e' "$line" >>"$CALLS"
}}
trap 'note "${{0##*/}}-ended" "$@"; kill $! 2>/dev/null; exit 0' TERM
until_term() {{ # like a daemon in the foreground
    /bin/sleep 60 &
    wait $!
}}
note "${{0##*/}}" "$@"
"""


@dataclass(frozen=True)
class Call:
    """Attributes:
    token: What the file at RAY_AUTH_TOKEN_PATH held at that time.
    """

    program: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    token: str


def install(folder: Path, programs: Mapping[str, str]) -> None:
    """Write each program: its name, and what it does after noting its call (bash)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in programs.items():
        (folder / name).write_text(HEAD + body)
        (folder / name).chmod(0o755)


def calls(log: Path) -> list[Call]:
    """All calls so far, in order."""
    found: list[Call] = []
    for line in log.read_text().split(END)[:-1] if log.exists() else []:
        name, *rest = line.removesuffix(FIELD).split(FIELD)
        environment: dict[str, str] = dict(zip(NOTED, rest[: len(NOTED)], strict=True))
        token, arguments = rest[len(NOTED)], rest[len(NOTED) + 1 :]
        found.append(Call(name, tuple(arguments), environment, token))
    return found
