"""Pruning's passes over a corpus, part by part: maps from table to table that need neither torch nor Ray.

A worker makes its map from a factory, such as `sentences`; statistics, once frozen, travel with it.
"""

import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from kdray.arrow_io import TableMap
from kdray.origin import Source, define
from kdray.pruning.clusters import Clusters
from kdray.pruning.importance import Floats, ScoreKind, TermCounts, TermStatistics, count_terms, score
from kdray.pruning.pruner import Pruner
from kdray.pruning.settings import PruneSettings
from kdray.pruning.tables import prune_table, units_at
from kdray.pruning.units import Role, text_column

Fields = Sequence[tuple[str, Role]]


def with_sources(sources: Sequence[Source], factory: bytes) -> TableMap:
    """What a pickled factory makes, on a worker that does not have the classes and functions of `sources` yet."""
    define(sources)
    return pickle.loads(factory)()  # noqa: S301 - this program's own driver wrote it


def sentences(fields: Fields, settings: PruneSettings) -> TableMap:
    """Rows to the sentences of their prunable fields; see `joined` for all parts together."""
    return partial(units_at, fields=fields, settings=settings, level="sentence")


def joined(parts: Iterable[pa.Table], sizes: Iterable[int]) -> pa.Table:
    """The units of all parts in order, with ``row`` counted over all of them.

    Args:
        parts: From `sentences`.
        sizes: The rows that each was made from.
    """
    found, start = list[pa.Table](), 0
    for units, size in zip(parts, sizes, strict=True):
        row = units.column_names.index("row")
        found.append(units.set_column(row, "row", pa.array(units["row"].to_numpy() + start, pa.int64())))
        start += size
    return pa.concat_tables(found)


def counts() -> TableMap:
    """Units to their terms, and in how many of the units each occurs: the first pass of TF-IDF."""

    def apply(units: pa.Table) -> pa.Table:
        found = count_terms(text_column(units)).document_frequency
        terms = sorted(found)
        return pa.table(
            {"term": pa.array(terms, pa.string()), "units": pa.array([found[term] for term in terms], pa.int64())}
        )

    return apply


def counted(parts: Iterable[pa.Table], num_units: int) -> TermCounts:
    """The counts of all parts together; memory for the terms, not for the texts."""
    total: Counter[str] = Counter()
    for part in parts:
        total.update(dict(zip(part["term"].to_pylist(), part["units"].to_pylist(), strict=True)))
    return TermCounts(num_units, total)


def scores(statistics: TermStatistics, how: ScoreKind) -> TableMap:
    """Units to their scores: the second pass."""
    return lambda units: pa.table({"score": score(text_column(units), statistics, how)})


def scored(parts: Iterable[pa.Table]) -> Floats:
    """The scores of all parts, in order."""
    return np.concatenate([part["score"].to_numpy() for part in parts])


def shortens(fields: Fields, pruner: Pruner) -> TableMap:
    """Rows to rows whose texts are shortened by frozen statistics."""
    return lambda rows: prune_table(rows, fields, pruner, is_train=False).table


def clusters_of(function: Callable[[npt.NDArray[np.float32]], Clusters]) -> TableMap:
    """Vectors of one part of a graph to their clusters; see `as_rows` and `as_clusters`."""

    def apply(part: pa.Table) -> pa.Table:
        found = function(_vectors(part))
        return pa.table({"cluster": found.labels, "is_medoid": pa.array(found.medoids)})

    return apply


def as_rows(vectors: npt.NDArray[np.float32]) -> pa.Table:
    """Vectors [units, width] as a table."""
    flat = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
    return pa.table({"vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])})


def as_clusters(parts: Iterable[pa.Table]) -> Iterator[Clusters]:
    """What `clusters_of` made."""
    for part in parts:
        medoids = part["is_medoid"].to_numpy().astype(np.bool_)
        yield Clusters(part["cluster"].to_numpy(), medoids)


def _vectors(part: pa.Table) -> npt.NDArray[np.float32]:
    column = part["vector"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)
