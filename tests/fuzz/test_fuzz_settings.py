"""Settings, odd and damaged: what is accepted is what was written, and comes back the same when it is written again."""

import random
import re
from pathlib import Path
from typing import Any

import fuzzing
import pytest
import tiny
import yaml

from kdray.config import RunConfig, load, parse

pytestmark = pytest.mark.fuzz

ROOT = Path(__file__).parents[2]
RECIPES = [path.read_text() for path in sorted((ROOT / "recipes").glob("*.yaml"))]
ENCODER, FOLDER = Path("encoder"), Path("folder")
PLAIN: list[dict[str, Any]] = [
    tiny.run_settings(ENCODER, FOLDER, method={"name": "kd", "temperature": 4.0, "alpha": 0.5}),
    tiny.run_settings(
        ENCODER,
        FOLDER,
        method={"name": "dekd", "r": 0.5, "strategy": "margin", "lambda1": 0.5, "lambda2": 0.3, "lambda3": 0.2},
        assistant={"method": {"name": "kd"}, "train": tiny.training(2)},
        prune={"policy": {"name": "match_rate", "rate": 0.2}, "level": "sentence", "duplicates": {"action": "drop"}},
    ),
    tiny.run_settings(
        ENCODER,
        FOLDER,
        teachers=[tiny.teacher(ENCODER, name) for name in ("one", "two")],
        method={"name": "rlkd", "reward_number": 3, "gamma": 0.4},
        outputs={"access": "online"},
        work={"retries": 1, "cpus": 2},
    ),
]
NUMBER = re.compile(r"[-+.\w]+")


def as_written(text: str, value: Any) -> bool:
    """Whether a value is what an unquoted word of YAML, or a word of a command line, stands for."""
    if isinstance(value, dict):
        return short_for(value) == text
    if value is None:
        return text in ("", "~", "null", "Null", "NULL")
    if isinstance(value, bool):
        return text.lower() in (("true", "yes", "on") if value else ("false", "no", "off"))
    if isinstance(value, int | float):
        try:
            return NUMBER.fullmatch(text) is not None and float(text.replace("_", "")) == value
        except ValueError:
            return False
    return text == value


def short_for(section: dict[str, Any]) -> Any:
    """A policy's name is short for its section, and so is the corpus of an intermediate task."""
    return section.get("name") or section.get("corpus", {}).get("name")


def same(given: Any, value: Any) -> bool:
    """Whether a plain value was taken as it is: 1 and 1.0 are one number, and a name may stand for its section."""
    if isinstance(value, dict):
        return short_for(value) == given
    if isinstance(value, bool) or isinstance(given, bool):
        return value is given
    both = isinstance(value, int | float) and isinstance(given, int | float)
    return (both or type(value) is type(given)) and value == given


def written_again(run: RunConfig) -> dict[str, Any]:
    plain = run.model_dump(mode="json")
    assert parse(plain, source="again") == run
    return plain


def test_the_settings_that_are_damaged_are_good() -> None:
    for plain in PLAIN:
        written_again(parse(plain, source="test"))


def test_values() -> None:
    def case(draw: random.Random) -> None:
        given = fuzzing.changed(draw, draw.choice(PLAIN))
        plain = written_again(parse(given, source="settings"))
        for path, value in fuzzing.leaves(given):
            found = fuzzing.at(plain, path)
            assert same(value, found), f"{path}: {value!r} became {found!r}"

    fuzzing.run_cases("values", case)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    texts = [*RECIPES, *(yaml.safe_dump(plain, sort_keys=False) for plain in PLAIN)]

    def case(draw: random.Random) -> None:
        text = draw.choice(texts)
        if draw.random() < 0.5:  # one value
            at = draw.choice([match.start() + 2 for match in re.finditer(r": \S", text)])
            end = text.index("\n", at)
            text = text[:at] + draw.choice(fuzzing.ODD_TEXTS) + text[end:]
        path.write_bytes(content := fuzzing.damaged(draw, text.encode("utf-8", "surrogatepass")))
        plain = written_again(load(path))
        if b"<<" in content or b"*" in content:
            return
        for where, word in fuzzing.leaves(yaml.load(content, Loader=yaml.BaseLoader) or {}):
            found = fuzzing.at(plain, where)
            assert as_written(word, found) or found == word, f"{where}: {word!r} became {found!r}"

    fuzzing.run_cases("files", case)
