"""The decision for each unit, and its reason. By row at level sentence; once for the whole split at level row."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kdray.pruning.clusters import Clusters
from kdray.pruning.importance import Floats
from kdray.pruning.policies import Mask
from kdray.pruning.settings import PruneSettings
from kdray.pruning.units import Level, is_row_level

KEPT = "kept"
PROTECTED = "protected medoid"
ONLY_UNIT = "only unit"
BEST_OF_FIELD = "best of its field"
BEST_OF_CLASS = "best of its class"
BELOW = "below threshold"


@dataclass(frozen=True)
class PolicyDecision:
    """For each unit: its importance, whether the policy would remove it, its cluster, and whether medoids are safe."""

    importance: Floats
    below: Mask
    clusters: Clusters
    keeps_medoids: bool


def decided(units: pa.Table, verdict: PolicyDecision, settings: PruneSettings, level: Level) -> pa.Table:
    """Decide each unit: dropped by the policy, unless it is a protected medoid or its field or class must keep it.

    Returns:
        ``id``, ``field``, ``unit``, ``start``, ``end`` and ``text`` of the units (``label`` too, at level row),
        with ``importance`` (float64, 0 to 1), ``cluster`` (int32, -1 without a graph), ``is_medoid``, ``kept`` and
        ``reason``. All texts of a field joined are the original, the kept ones joined are the pruned text.
    """
    safe = verdict.clusters.medoids if verdict.keeps_medoids else np.zeros_like(verdict.below)
    kept = ~verdict.below | safe
    if level == "row":
        groups, minimum, best = class_groups(units), settings.min_per_class, BEST_OF_CLASS
    else:
        groups, minimum, best = field_groups(units), settings.min_keep, BEST_OF_FIELD
    saved = restore_minimum(groups, verdict.importance, kept, minimum)
    reason = np.where(~verdict.below, KEPT, np.where(safe, PROTECTED, np.where(saved, best, BELOW)))
    if level == "sentence" and len(groups):
        reason[saved & (np.bincount(groups)[groups] == 1)] = ONLY_UNIT
    table = units.drop_columns(["row"])
    for name, values in (
        ("importance", pa.array(verdict.importance, pa.float64())),
        ("cluster", pa.array(verdict.clusters.labels, pa.int32())),
        ("is_medoid", pa.array(verdict.clusters.medoids, pa.bool_())),
        ("kept", pa.array(kept | saved, pa.bool_())),
        ("reason", pa.array(reason.tolist(), pa.string())),  # typed: an empty part must fit the others
    ):
        table = table.append_column(name, values)
    return table


def restore_minimum(groups: npt.NDArray[np.int64], importance: Floats, kept: Mask, minimum: int) -> Mask:
    """The units to restore so that each group keeps ``minimum``: the most important, then the earliest."""
    order = np.lexsort((-importance, ~kept, groups))  # stable: equals stay in their order
    in_order = groups[order]
    firsts = np.searchsorted(in_order, in_order, side="left")
    needed = np.arange(len(order)) - firsts < minimum
    saved = np.zeros(len(kept), dtype=np.bool_)
    saved[order[needed]] = True
    return saved & ~kept


def field_groups(units: pa.Table) -> npt.NDArray[np.int64]:
    """Number the fields of all rows from 0: units of one field follow each other, the first is unit 0."""
    return np.cumsum(units.column("unit").to_numpy() == 0) - 1


def class_groups(units: pa.Table) -> npt.NDArray[np.int64]:
    """Number the classes of whole-example units, from 0; rows without a label are a group of their own, the last."""
    if not units.num_rows:
        return np.zeros(0, dtype=np.int64)
    assert is_row_level(units)
    labels: list[Any] = units.column("label").to_pylist()
    numbers = {label: number for number, label in enumerate(sorted(set(labels), key=lambda x: (x is None, x)))}
    return np.array([numbers[label] for label in labels], dtype=np.int64)
