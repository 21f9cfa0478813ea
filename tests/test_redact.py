"""Passwords are taken out of whatever is shown or written down."""

import pytest

from kdray.redact import without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://ann:geheim@host:5432/db", "postgresql+psycopg://ann:***@host:5432/db"),
        ("s3://key:geh%2Feim+x@bucket/inner?region=x", "s3://key:***@bucket/inner?region=x"),
        (
            "python t.py --storage 'postgresql://ann:geheim@host/db' --trials 2 --address ray://head:10001",
            "python t.py --storage 'postgresql://ann:***@host/db' --trials 2 --address ray://head:10001",
        ),
        ("postgresql://:geheim@host/db", "postgresql://:***@host/db"),
        ("postgresql://ann:ge/heim@host/db", "postgresql://ann:***@host/db"),
        ("s3://key:ab/cd+ef=@bucket/a", "s3://key:***@bucket/a"),
        (
            "postgresql://host/db?user=ann&password=geheim&sslmode=no",
            "postgresql://host/db?user=ann&password=***&sslmode=no",
        ),
    ],
)
def test_passwords_are_taken_out(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    "text",
    ["store", "s3://bucket/inner", "postgresql://ann@host:5432/db", "sqlite:///a/b@c:d@e.db", "http://host:80/a@b"],
)
def test_everything_else_is_left_alone(text: str) -> None:
    assert without_passwords(text) == text
