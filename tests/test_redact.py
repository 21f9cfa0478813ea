"""Passwords are taken out of whatever is shown or written down."""

import pytest

from kdray.secrets import without_passwords


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
    ("text", "shown"),
    [
        ("postgresql://user:12345/x@host", "postgresql://user:***@host"),  # a password that looks like a port
        ("mysql://user:1/@host/db", "mysql://user:***@host/db"),
        ("postgresql://u:p@ss/w@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:p@s@s@s@host:5432/db", "postgresql://u:***@host:5432/db"),
        ("postgresql://u:p%40ss%3Aw%2F@host/db", "postgresql://u:***@host/db"),
        ("postgresql://ann@corp:geheim@host/db", "postgresql://ann@corp:***@host/db"),  # users of some clouds hold an @
        ("postgresql://u:a:b:c@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:a?b#c&d@host/db", "postgresql://u:***@host/db"),
        ("postgresql://u:it's@host/db", "postgresql://u:***@host/db"),
        ("redis://u:///@host", "redis://u:***@host"),
        ("redis://u:p://x@host", "redis://u:***@host"),
        ("https://u:geheim@host:5000/api", "https://u:***@host:5000/api"),
        ("https://u:123456@host", "https://u:***@host"),
        ("https://u:12345@host", "https://u:***@host"),
        ("http://host:80,postgresql://u:geheim@db", "http://host:80,postgresql://u:***@db"),
        ("HTTPS://U:geheim@HOST", "HTTPS://U:***@HOST"),
        (
            "--storage 'postgresql://u:two words@host/db' --trials 2",
            "--storage 'postgresql://u:***@host/db' --trials 2",
        ),
        ("(postgresql://u:geheim@host/db)", "(postgresql://u:***@host/db)"),
        ("storage=postgresql://u:geheim@host/db", "storage=postgresql://u:***@host/db"),
        (
            "at http://h/?db=postgresql%3A%2F%2Fu%3Agehe%40im%40host",
            "at http://h/?db=postgresql%3A%2F%2Fu%3A***%40host",
        ),
        ("s3://bucket?secret_key=geheim/x&region=a", "s3://bucket?secret_key=***&region=a"),
        ("host=h user=u password=geheim dbname=d", "host=h user=u password=*** dbname=d"),
        ("kdray --password=geheim --token=geheim", "kdray --password=*** --token=***"),
        ("https://h/?access_token=geheim", "https://h/?access_token=***"),
        ("postgresql://u:geheim@a/x\npostgresql://v:geheim@b/y", "postgresql://u:***@a/x\npostgresql://v:***@b/y"),
    ],
)
def test_nasty_passwords_are_taken_out(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "store",
        "s3://bucket/inner",
        "postgresql://ann@host:5432/db",
        "sqlite:///a/b@c:d@e.db",
        "http://host:80/a@b",
        "https://host:8265/#/jobs?mail=ann@host",
        "ray://head:10001 and ann@host",
        "ray://[::1]:10001",
        "s3://bucket/inner?endpoint_override=127.0.0.1:9000&scheme=http",
        "mail ann@host: the ratio is 3:4, see http://host:8265",
        "store 's3://bucket/a' does not answer: write to 'ann@host'",
        "git@host:owner/name.git",
        "'http://host:80 is the address of ann@host'",
        "the key password= has no value; give a token",
        "tokens=12 tokenizer=x max_tokens=3",
        "a: b, c://d, e@f",
        "",
    ],
)
def test_everything_else_is_left_alone(text: str) -> None:
    assert without_passwords(text) == text


def test_what_is_redacted_once_stays_as_it_is() -> None:
    once = without_passwords("postgresql://u:p@ss/w@host/db?password=x")
    assert without_passwords(once) == once
