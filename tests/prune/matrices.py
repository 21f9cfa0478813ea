"""A graph whose edges are written by hand."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from kdray.pruning.graph import MICRO


@dataclass(frozen=True)
class MatrixWeights:
    """Weights given as a symmetric matrix [nodes, nodes]."""

    matrix: Any

    @property
    def num_nodes(self) -> int:
        return len(self.matrix)

    def rows(self, start: int, stop: int) -> Any:
        micro = np.rint(np.asarray(self.matrix) * MICRO).astype(np.int32)
        np.fill_diagonal(micro, 0)
        return micro[start:stop]
