"""kdray: knowledge distillation of text classifiers, on a laptop or a Ray cluster. The usual import is `kd`.

>>> import kdray as kd
>>> kd.methods.KD(temperature=4.0).temperature
4.0
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kdray import engines, functional, methods, testing
    from kdray.api.bench import Benchmark, benchmark
    from kdray.api.dataset import Dataset
    from kdray.api.deployed import predict_files, serve
    from kdray.api.doctor import doctor
    from kdray.api.experiments import Comparison, Search, compare, search
    from kdray.api.models import Encoder, Student, Teacher
    from kdray.api.runs import Pruned, distill, prune
    from kdray.config import RunConfig
    from kdray.methods import Method
    from kdray.store import Store
    from kdray.train import TrainSettings

# Loaded on first use, so that `import kdray` is quick and the command line loads only what it needs.
_ATTRIBUTES = {
    "Benchmark": "kdray.api.bench",
    "benchmark": "kdray.api.bench",
    "Comparison": "kdray.api.experiments",
    "Search": "kdray.api.experiments",
    "compare": "kdray.api.experiments",
    "search": "kdray.api.experiments",
    "Dataset": "kdray.api.dataset",
    "Encoder": "kdray.api.models",
    "Method": "kdray.methods",
    "Pruned": "kdray.api.runs",
    "RunConfig": "kdray.config",
    "Store": "kdray.store",
    "Student": "kdray.api.models",
    "Teacher": "kdray.api.models",
    "TrainSettings": "kdray.train",
    "distill": "kdray.api.runs",
    "doctor": "kdray.api.doctor",
    "predict_files": "kdray.api.deployed",
    "prune": "kdray.api.runs",
    "serve": "kdray.api.deployed",
}
_MODULES = {
    "engines": "kdray.engines",
    "functional": "kdray.functional",
    "methods": "kdray.methods",
    "testing": "kdray.testing",
}

__all__ = [
    "Benchmark",
    "Comparison",
    "Dataset",
    "Encoder",
    "Method",
    "Pruned",
    "RunConfig",
    "Search",
    "Store",
    "Student",
    "Teacher",
    "TrainSettings",
    "__version__",
    "benchmark",
    "compare",
    "distill",
    "doctor",
    "engines",
    "functional",
    "methods",
    "predict_files",
    "prune",
    "search",
    "serve",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name in _ATTRIBUTES:
        return getattr(_loaded(_ATTRIBUTES[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    from kdray.errors import did_you_mean

    hint = did_you_mean(name, __all__, otherwise="")
    raise AttributeError(f"module 'kdray' has no attribute {name!r}{hint and f'; {hint}'}")


def _loaded(module: str) -> Any:
    from kdray.errors import missing_package

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise missing_package(error) or error from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
