"""Tables as bytes, in Arrow's stream format: between processes, and in the work folders of stores."""

from collections.abc import Callable

import pyarrow as pa

TableMap = Callable[[pa.Table], pa.Table]


def to_bytes(table: pa.Table) -> bytes:
    """A table as bytes; equal tables give equal bytes, however their columns were chunked."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()


def from_bytes(content: bytes) -> pa.Table:
    """The table that `to_bytes` made."""
    return pa.ipc.open_stream(content).read_all()
