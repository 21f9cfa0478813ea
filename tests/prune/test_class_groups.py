"""Classes of whole-example units, also where a row has no label."""

import pyarrow as pa

from kdray.pruning.decisions import class_groups
from kdray.pruning.units import WHOLE_ROW


def test_rows_without_a_label_are_the_last_group():
    units = pa.table({"field": [WHOLE_ROW] * 5, "label": pa.array([1, None, 0, None, 1], pa.int64())})
    assert class_groups(units).tolist() == [1, 2, 0, 2, 1]
