"""Whether something is text: Python's strings may hold what UTF-8 cannot, and Arrow's may hold any bytes."""

import pyarrow as pa


def is_readable(value: pa.Scalar) -> bool:
    """Whether a value of Arrow's can be read: nothing checks a string's bytes when it is made."""
    try:
        value.as_py()
    except UnicodeDecodeError:
        return False
    return True


def is_text(value: object) -> bool:
    """Whether it is a string that UTF-8 can hold: a lone surrogate cannot be."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
