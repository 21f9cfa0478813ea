"""What can go wrong through no fault of kdray's code: one sentence for the user, one exit code for the shell."""


class KdrayError(Exception):
    """The base of every error meant for a user: one sentence with what was given, what is allowed, and the fix."""

    exit_code = 1


class ConfigError(KdrayError):
    """A file, row, key or setting that the user can correct. Exit code 2."""

    exit_code = 2


class RunError(KdrayError):
    """The input was fine but the run did not end well (diverged, no space, a worker lost too often). Exit code 1."""

    exit_code = 1


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: the command ends as after Ctrl-C, with exit code 143."""
