"""The public Python API. Every function is one call of the stages; `import kdray as kd` gives these names."""

from kdray.api.dataset import Dataset
from kdray.api.experiments import Comparison, Search, compare, search
from kdray.api.models import Encoder, Student, Teacher
from kdray.api.runs import Pruned, distill, prune

__all__ = [
    "Comparison",
    "Dataset",
    "Encoder",
    "Pruned",
    "Search",
    "Student",
    "Teacher",
    "compare",
    "distill",
    "prune",
    "search",
]
