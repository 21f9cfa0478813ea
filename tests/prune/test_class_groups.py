"""Classes of whole-example units, also where a row has no label."""

import pyarrow as pa

from kdray.prune import decisions


def test_rows_without_a_label_are_the_last_group(monkeypatch):
    monkeypatch.setattr(decisions, "is_example_level", lambda units: True)
    units = pa.table({"label": pa.array([1, None, 0, None, 1], pa.int64())})
    assert decisions.class_groups(units).tolist() == [1, 2, 0, 2, 1]
