"""The flags that all programs in `sweeps/` share: what is refused before anything starts."""

import argparse

import pytest

from kdray.cli.flags import add_shared_flags, check_shared_flags
from kdray.errors import BadInput


def given(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_shared_flags(parser, "rte")
    return parser.parse_args(words)


@pytest.mark.parametrize("name", ["../x", "a/b", "a/../../x", "..", "/x", "", "a b"])
def test_a_name_that_could_leave_the_sweeps_folder_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match=r"--name .*: use letters, digits"):
        check_shared_flags(given(f"--name={name}"))


def test_an_ordinary_name_is_taken() -> None:
    check_shared_flags(given("--name", "rte-1.b"))


def test_an_address_is_looked_at_before_anything_is_read() -> None:
    with pytest.raises(BadInput, match="--address nonsense: give HOST:PORT"):
        check_shared_flags(given("--address", "nonsense"))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--seeds", "0"], "--seeds 0: it must be 1 or more."),
        (["--cpus-per-trial", "-1"], "--cpus-per-trial -1: it must be 1 or more."),
        (["--gpus-per-trial", "-0.5"], "--gpus-per-trial -0.5: it must be 0 or more."),
    ],
)
def test_numbers_are_in_range(flags: list[str], sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_shared_flags(given(*flags))
    assert str(caught.value) == sentence
