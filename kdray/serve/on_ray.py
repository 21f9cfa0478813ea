"""The same service as a Ray Serve application, with as many replicas as the load needs (`cluster/serve.yaml`).

Ray Serve routes requests to replicas; each has its own model, batches and counters. Callers must give the token of
`KDRAY_SERVE_TOKEN`, because a cluster's addresses can be reached by other machines.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import Field
from ray import serve
from ray.serve.config import AutoscalingConfig

from kdray.errors import ConfigError
from kdray.serve.loading import open_scorer
from kdray.serve.server import TOKEN, with_token
from kdray.serve.settings import ServeSettings

AUTOSCALING = AutoscalingConfig(min_replicas=1, max_replicas=4, target_ongoing_requests=16)
ONGOING_REQUESTS = 64  # of a replica; more wait in Ray Serve's router


class RayServeSettings(ServeSettings):
    """The `args` of the application in a Serve file: the limits of `ServeSettings`, and these.

    Attributes:
        model: The absolute path of a bundle or a student, which every node can read.
        threads: Of one prediction of an ONNX graph; a replica's `num_cpus` should be as many.
        loopback_only: The HTTP proxy listens on 127.0.0.1 (`http_options.host`), so callers need no token.
    """

    model: str
    threads: int = Field(default=1, ge=1, le=1024)
    loopback_only: bool = False


class Classifier:
    """A replica; its requests go to the ASGI application."""


def application(args: RayServeSettings) -> serve.Application:
    """What `serve run` and `serve deploy` start.

    Raises:
        ConfigError: There is no token, or the path of the model is relative.
    """
    settings = _checked(args)

    def app() -> Any:
        """Called in each replica."""
        from kdray.serve.app import make_app

        return make_app(open_scorer(args.model, threads=args.threads), settings)

    replica: Any = serve.ingress(app)(Classifier)
    limits: dict[str, Any] = {"autoscaling_config": AUTOSCALING, "max_ongoing_requests": ONGOING_REQUESTS}
    deployment: Any = serve.deployment(replica, name=Classifier.__name__, **limits)
    return deployment.bind()


def _checked(args: RayServeSettings) -> ServeSettings:
    """The limits, with the token."""
    if not Path(args.model).is_absolute():
        raise ConfigError(f"model = {args.model}: replicas run in folders of their own, so give an absolute path.")
    if args.token is not None:
        raise ConfigError(f"token: Ray Serve shows the args of an application; set {TOKEN} instead (runtime_env).")
    if not args.loopback_only and TOKEN not in os.environ:
        raise ConfigError(
            f"a service on Ray Serve needs a token: set {TOKEN} to 16 or more characters in the runtime_env of the "
            "application, or loopback_only: true if http_options.host is 127.0.0.1."
        )
    plain = args.model_dump(include=set(ServeSettings.model_fields))
    return with_token(ServeSettings.model_validate(plain), "127.0.0.1")
