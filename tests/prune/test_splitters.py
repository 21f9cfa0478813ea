"""Sentences by kdray's rules, by pysbd, and by functions of a user's own, which must lose no character."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pages
import pyarrow as pa
import pytest

from kdray.errors import ConfigError, MissingPackage
from kdray.origin import sources_of
from kdray.pruning import Pruner, PruneSettings, fit, units_of
from kdray.pruning.splitters import checked, identity, spans_by

LINES = pages.code_with(pages.ROOT / "docs/pruning.md", "def lines")
TEXT = "Titan Ltd. rose\nIt rained. \nAcme bought it\n \n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my_splitter.py"
    path.write_text(LINES)
    return path


def table(*texts: str) -> pa.Table:
    return pa.table({"id": [f"r{row}" for row in range(len(texts))], "text": list(texts)})


def pieces(name: str, text: str) -> list[str]:
    return units_of(table(text), ["text"], splitter=name)["text"].to_pylist()


def test_a_function_of_a_file_cuts_texts_and_white_space_joins_its_neighbor(file) -> None:
    name = checked(f"{file}:lines")
    assert pieces(name, TEXT) == ["Titan Ltd. rose\n", "It rained. \n", "Acme bought it\n \n"]
    assert pieces(name, "\n one\ntwo") == ["\n one\n", "two"]
    for text in ("", " ", "\n\n"):
        assert pieces(name, text) == [text]
    assert pieces("rules", TEXT) == ["Titan Ltd. rose\nIt rained. \n", "Acme bought it\n \n"]


def test_the_source_of_a_function_is_in_its_name_and_its_folder_is_not_in_digests(file, tmp_path) -> None:
    name = checked(f"{file}:lines")
    assert checked(name) == name
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / file.name).write_text(LINES)
    assert identity(checked(f"{tmp_path / 'other' / file.name}:lines")) == identity(name)
    (source,) = sources_of([name])
    assert (source.name, source.text) == (name, LINES)
    file.write_text(LINES + "# changed\n")
    assert identity(checked(f"{file}:lines")) != identity(name)
    assert pieces(name, TEXT) == pieces(checked(f"{file}:lines"), TEXT)  # of the old source, which is still there
    assert sources_of(["rules", "pysbd"]) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return text.split('. ')", r"lines changes or loses characters of row 'r1' \('text'\): its sentences, joined"),
        ("return [text, text]", r"lines changes or loses characters of row 'r1'"),
        ("return text", r"lines gives no list of texts for row 'r1' \('text'\); return the sentences as a list\.$"),
        ("return [0, len(text)]", r"lines gives no list of texts for row 'r1'"),
        ("return None", r"lines gives no list of texts for row 'r1'"),
        (
            "return [text, 1 / 0]",
            r"lines, row 'r1' \('text'\): it raised ZeroDivisionError: division by zero \(line 4\)",
        ),
    ],
)
def test_a_function_that_does_not_give_the_text_back_is_refused_with_the_row(file, body, said) -> None:
    file.write_text(f"def lines(text):\n    if 'one' in text:\n        return iter([text])\n    {body}\n")
    with pytest.raises(ConfigError, match=said) as error:
        units_of(table("one", "a b. c"), ["text"], splitter=checked(f"{file}:lines"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nltk", r"^prune\.splitter = 'nltk' is unknown; allowed are rules, pysbd \(English\), pysbd-LANGUAGE"),
        ("{file}:other", r"there is no such name in .*my_splitter\.py"),
        ("{file}:WIDTH", r"WIDTH' is not a function; name one from a text"),
        ("none.py:lines", r"prune\.splitter: file none\.py cannot be read"),
    ],
)
def test_names_that_cut_nothing_are_refused(file, name, said) -> None:
    file.write_text(LINES + "WIDTH = 3\n")
    with pytest.raises(ConfigError, match=said):
        PruneSettings(level="sentence", splitter=name.format(file=file))


def test_a_splitter_without_effect_is_refused() -> None:
    with pytest.raises(ValueError, match="splitter would be ignored, because level is row"):
        PruneSettings.model_validate(
            {"level": "row", "splitter": f"{Path(__file__).with_name('own_splitter.py')}:lines"}
        )


def fake_pysbd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts before every `|`, and finds no place for the first of the sentences, as pysbd may."""

    class Segmenter:
        def __init__(self, *, language: str, clean: bool, char_span: bool) -> None:
            assert (language, clean, char_span) == ("de", False, True)

        def segment(self, text: str) -> list[Any]:
            return [SimpleNamespace(start=place) for place, mark in enumerate(text) if mark == "|" or place == 1]

    package, languages = ModuleType("pysbd"), ModuleType("pysbd.languages")
    vars(package).update(Segmenter=Segmenter, __version__="9.9")
    vars(languages).update(LANGUAGE_CODES={"en": None, "de": None})
    monkeypatch.setitem(sys.modules, "pysbd", package)
    monkeypatch.setitem(sys.modules, "pysbd.languages", languages)


@pytest.fixture(autouse=True)
def no_kept_segmenter() -> Any:
    from kdray.pruning.splitters import _segmenter  # pyright: ignore[reportPrivateUsage]

    _segmenter.cache_clear()
    yield
    _segmenter.cache_clear()


def test_sentences_of_pysbd_cover_the_text(monkeypatch) -> None:
    fake_pysbd(monkeypatch)
    assert checked("pysbd-de") == "pysbd-de"
    assert pieces("pysbd-de", "  a |b| |c ") == ["  a ", "|b", "| ", "|c "]
    assert pieces("pysbd-de", "") == [""]
    assert identity("pysbd-de") == "pysbd-de 9.9"
    with pytest.raises(ConfigError, match=r"pysbd has no language 'tlh'; allowed are de, en\."):
        checked("pysbd-tlh")


def test_pysbd_itself_cuts_texts_of_its_languages() -> None:
    pytest.importorskip("pysbd")
    text = "My name is Jonas E. Smith.  Please turn to p. 55. \nThat is all."
    assert pieces("pysbd", text) == ["My name is Jonas E. Smith.  ", "Please turn to p. 55. \n", "That is all."]
    assert pieces("pysbd-zh", "他来了。她走了。") == ["他来了。", "她走了。"]
    for odd in (
        "",
        " ",
        "a. a. a. a.",
        "It rained. It rained. It rained.",
        "\u2028x.\r\n\r\ny! \t z?",
        "(A.) 'B.' [C.]",
    ):
        spans = spans_by("pysbd")(odd, "row 0")
        assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
        assert (spans[0][0], spans[-1][1]) == (0, len(odd))
    with pytest.raises(ConfigError, match=r"pysbd has no language 'tlh'; allowed are am, ar, "):
        checked("pysbd-tlh")


def test_a_package_that_is_missing_is_named(monkeypatch) -> None:
    for name in ("pysbd", "pysbd.languages"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(
        MissingPackage,
        match=r"^prune\.splitter = pysbd needs a package .*: pip install pysbd \(or 'kdray\[sentences\]'\)\.$",
    ):
        PruneSettings(level="sentence", splitter="pysbd")


def test_a_saved_pruner_cuts_by_the_same_function_and_runs_no_code_that_it_names(file, tmp_path, monkeypatch) -> None:
    name = f"{file}:lines"
    settings = PruneSettings(level="sentence", splitter=name, keep_medoids="none")
    rows = table(
        TEXT, "It rained.\nTitan rose and Acme fell by ten points\n", "It rained.\nPeople talked of it all day\n"
    )
    pruner = fit(units_of(rows, ["text"], splitter=settings.splitter), [], settings, level="sentence").pruner
    shorter = pruner.prune(["It rained.\nOmega rose. It fell by ten points"])
    assert shorter == ["Omega rose. It fell by ten points"]  # by the rules these were three sentences in one line
    pruner.save(tmp_path / "saved")
    assert Pruner.load(tmp_path / "saved").prune(["It rained.\nOmega rose. It fell by ten points"]) == shorter
    monkeypatch.setattr("kdray.origin._objects", {})
    for module in [each for each in sys.modules.values() if "lines" in getattr(each, "__dict__", {})]:
        monkeypatch.delitem(sys.modules, module.__name__)
    with pytest.raises(
        ConfigError, match=r"splitter .*my_splitter\.py:lines, which is not defined .*; import lines from"
    ):
        Pruner.load(tmp_path / "saved")
