"""The flags that choose where the work of a command runs, and paths on a command line."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdray.engines.ray.access import check_access
from kdray.engines.ray.session import check_address
from kdray.errors import ConfigError, check_installed

if TYPE_CHECKING:  # the choice loads torch
    from kdray.engines.choice import EngineChoice


def user_path(text: str) -> Path:
    """A path with ~ as the home folder, which a shell leaves as it is in --export=~/out."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - without a home folder, Path.expanduser raises


def add_engine_flags(parser: Any) -> None:
    """Where the work runs.

    Args:
        parser: A parser, or a group of one.
    """
    parser.add_argument("--engine", choices=("ray", "local"), default="ray", help="local: in this process, without Ray")
    parser.add_argument("--address", help="address of a Ray cluster (auto: the cluster of this machine)")
    parser.add_argument("--allow-network", action="store_true", help="start a local Ray even if others could use it")


def check_engine_flags(arguments: argparse.Namespace) -> None:
    """
    Raises:
        ConfigError: There is no cluster at `--address`, a flag of Ray is given without it, or Ray is not installed.
    """
    if arguments.engine == "local":
        if arguments.address or arguments.allow_network:
            raise ConfigError("--engine local starts no Ray: leave --address and --allow-network out.")
        return
    check_installed("ray")
    check_access(arguments.address, allow_network=arguments.allow_network)
    check_address(arguments.address)


def engine_of(arguments: argparse.Namespace) -> "EngineChoice":
    """The engine that the flags name."""
    from kdray.engines.choice import Local, Ray

    if arguments.engine == "local":
        return Local()
    return Ray(arguments.address, allow_network=arguments.allow_network)
