"""Run the service with uvicorn: on loopback without a token, elsewhere with one."""

import errno
import json
import logging
import os
import secrets
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from kdray.errors import ConfigError
from kdray.serve.loading import open_scorer
from kdray.serve.settings import ServeSettings

MODEL, SETTINGS, THREADS = "KDRAY_SERVE_MODEL", "KDRAY_SERVE_SETTINGS", "KDRAY_SERVE_THREADS"
URL = "KDRAY_SERVE_URL"
TOKEN = "KDRAY_SERVE_TOKEN"  # noqa: S105 - the name of a variable
GRACE_SECONDS = 10  # for requests that have begun


def run(model: str, *, host: str, port: int, workers: int, threads: int, settings: ServeSettings) -> None:
    """Serve until the process gets a signal to stop; requests that have begun are answered first.

    Args:
        host: An address to listen on. On another than loopback, callers must give a token.
        workers: Processes; one that dies is replaced.
        threads: Of one prediction; 0 takes all processors.

    Raises:
        ConfigError: The model or an argument cannot be used, or the package `uvicorn` is missing.
    """
    try:
        import uvicorn
    except ImportError:
        raise ConfigError("kdray serve needs fastapi and uvicorn: pip install 'kdray[serve]'.") from None
    if not 0 <= port < 65536:
        raise ConfigError(f"--port {port}: it must be 0 to 65535.")
    if workers < 1:
        raise ConfigError(f"--workers {workers}: it must be 1 or more.")
    check_address(host, port)
    scorer = open_scorer(model, threads=threads)  # an error in it is raised once, before a worker starts
    if scorer.has_tags and settings.abstain_below is not None:
        raise ConfigError("--abstain-below has no effect on tags; leave it out.")
    settings = with_token(settings, host)
    os.environ[URL] = f"http://{f'[{host}]' if ':' in host else host}:{port or 'PORT'}"
    os.environ |= {MODEL: str(Path(model).expanduser()), SETTINGS: settings.model_dump_json(), THREADS: str(threads)}
    uvicorn.run(
        "kdray.serve.server:from_environment",
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )


def check_address(host: str, port: int) -> None:
    """
    Raises:
        ConfigError: This machine cannot listen there.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        other = "--port" if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise ConfigError(
            f"--host {host} --port {port}: this machine cannot listen there ({reason}); give another {other}."
        ) from None


def with_token(settings: ServeSettings, host: str) -> ServeSettings:
    """The settings with a token where one is needed: `KDRAY_SERVE_TOKEN`, or a random one, which is printed."""
    given = os.environ.get(TOKEN)
    if given is not None and len(given) < 16:
        raise ConfigError(f"{TOKEN} has {len(given)} characters; give 16 or more, or unset it for a random token.")
    if given is None and is_loopback(host):
        return settings
    token = given or secrets.token_urlsafe(32)
    if given is None:
        print(f"token: {token} (set {TOKEN} to choose one)", flush=True)  # noqa: T201 - for the caller's eyes only
    return settings.model_copy(update={"token": token})


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def from_environment() -> Any:
    """The application of a worker process."""
    from kdray.serve.app import body_of, make_app

    scorer = open_scorer(os.environ[MODEL], threads=int(os.environ[THREADS]))
    settings = ServeSettings.model_validate_json(os.environ[SETTINGS])
    logging.getLogger("uvicorn.error").info(
        "%s is loaded; try %s", scorer.source.name, example(body_of(scorer, "a text"), settings)
    )
    return make_app(scorer, settings)


def example(body: dict[str, Any], settings: ServeSettings) -> str:
    """A request as a shell command."""
    token = "" if settings.token is None else f' -H "authorization: Bearer ${TOKEN}"'
    return f"curl -s {os.environ[URL]}/predict -H 'content-type: application/json'{token} -d '{json.dumps(body)}'"
