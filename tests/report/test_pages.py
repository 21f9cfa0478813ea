"""The pages as a whole: complete, balanced, self-contained, safe against what they show, readable on a phone."""

import functools
import re
from importlib import resources
from typing import Any

import made_up
import pytest
from reading import read, texts

from kdray.errors import BadInput
from kdray.report import index_entry, render, render_index

_EVIL = "<script>alert('x')</script>\"'&"


@functools.cache
def _all_pages() -> dict[str, str]:
    made = {"sweep": made_up.sweep(), "comparison": made_up.comparison(), "run": made_up.run()}
    entries = [index_entry(result, f"{kind}.html") for kind, result in made.items()]
    return {
        "sweep": render(made_up.sweep()),
        "comparison": render(made_up.comparison()),
        "run": render(made_up.run()),
        "index": render_index(entries),
        "nothing": render_index([]),
    }


@pytest.mark.parametrize("name", ["sweep", "comparison", "run", "index", "nothing"])
def test_tags_balance_and_ids_are_unique(name: str) -> None:
    elements = read(_all_pages()[name])
    ids = [element.attributes["id"] for element in elements if "id" in element.attributes]
    assert elements[0].tag == "html"
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["sweep", "comparison", "run", "index", "nothing"])
def test_loads_nothing(name: str) -> None:
    page = _all_pages()[name]
    assert not re.search(r"https?://|url\(|@import|//[a-z]+\.", page.replace("// Sorting", ""))
    elements = read(page)
    assert not [element for element in elements if "src" in element.attributes]
    assert [e.attributes["href"] for e in elements if e.tag == "link"] == ["data:,"]
    policy = next(
        e.attributes["content"] for e in elements if e.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    assert "script-src 'sha256-" in policy


@pytest.mark.parametrize("name", ["sweep", "comparison", "run", "index", "nothing"])
def test_no_fixed_width_is_wider_than_a_phone(name: str) -> None:
    page = _all_pages()[name]
    style = texts(page, "style")[0]
    pixels = [float(width) for width in re.findall(r"(?<!max-)width:\s*([\d.]+)px", style)]
    assert all(width <= 360 for width in pixels)
    assert not [e for e in read(page) if "style" in e.attributes]
    drawings = [e for e in read(page) if e.tag == "svg"]
    assert not [e for e in drawings if "width" in e.attributes], "drawings take the width of their container"
    tables = [e for e in read(page) if e.tag == "table"]
    assert all(e.ancestors[-1] == "div" for e in tables)
    assert len([e for e in read(page) if e.attributes.get("class") == "scroll"]) == len(tables)


def test_every_figure_of_a_sweep_is_drawn_with_a_title_labels_and_words() -> None:
    elements = read(render(made_up.sweep()))
    drawn = [e for e in elements if e.tag == "figure" and e.attributes.get("class") != "empty"]
    titles = [e.text for e in elements if e.tag == "h3" and e.ancestors[-1] == "figure"]
    expected = {
        "Every seed", "Score of every trial", "What mattered", "Settings and scores together",
        "Learning curves", "Training loss",
        "Trials over workers", "Where the seconds went", "method", "temperature", "learning_rate", "alpha", "layers",
    }  # fmt: skip
    assert expected | {"seed"} == set(titles)
    assert len(drawn) == len(expected)
    drawings = [e for e in elements if e.tag == "svg" and e.ancestors[-1] == "figure"]
    assert len(drawings) == len(expected)
    assert all(e.attributes["role"] == "img" and len(e.attributes["aria-label"]) > 30 for e in drawings)
    labels = [e.text for e in elements if "axis-label" in e.attributes.get("class", "")]
    for label in ("trial number", "accuracy on select (%)", "epoch", "mean training loss", "learning_rate (log scale)",
                  "time since the first trial started (minutes)", "time (minutes)"):  # fmt: skip
        assert label in labels


def test_every_figure_of_a_run_is_drawn() -> None:
    elements = read(render(made_up.run()))
    titles = {e.text for e in elements if e.tag == "h3" and e.ancestors[-1] == "figure"}
    assert titles == {"Learning curve", "Terms of the loss", "Terms of the loss, weighted", "Where the seconds went"}
    assert not [e for e in elements if e.attributes.get("class") == "empty"]


def test_marks_every_trial_by_its_state() -> None:
    sweep = made_up.sweep()
    elements = read(render(sweep))
    at = next(
        i for i, e in enumerate(elements) if e.attributes.get("aria-label", "").startswith("Score of every trial")
    )
    end = next(i for i, e in enumerate(elements) if i > at and e.tag == "figcaption")
    classes = [e.attributes.get("class") for e in elements[at:end]]
    states = [trial["state"] for trial in sweep["trials"]]
    assert classes.count("mark complete") == states.count("complete") == 14
    assert classes.count("mark hollow pruned") == states.count("pruned") == 4
    assert classes.count("mark hollow failed") == states.count("failed") == 2
    assert classes.count("ring") == 1


def test_shows_failed_trials_with_their_errors() -> None:
    page = render(made_up.sweep())
    failed = [e.text for e in read(page) if e.attributes.get("class") == "failure"]
    assert [text.split("method")[0] for text in failed] == ["Trial 4", "Trial 9"]
    assert all(text.endswith("RunFailed: the loss became nan at step 31") for text in failed)


def test_a_trial_that_never_got_anywhere_leaves_reasons_in_place_of_figures() -> None:
    sweep = made_up.sweep()
    sweep["trials"] = [{"number": 0, "state": "failed", "params": {"a": 1}, "error": "out of memory"}]
    sweep["best"] = None
    for key in ("confirmation", "importances", "importances_note", "seconds", "teachers", "prune", "stages", "commit"):
        del sweep[key]
    page = render(sweep)
    assert "No winner: none of 1 trial was completed." in texts(page, "p")
    reasons = [e.text for e in read(page) if e.attributes.get("class") == "nothing" and e.ancestors[-1] == "figure"]
    assert len(reasons) == 8
    assert all(reason.startswith("Nothing to draw: ") for reason in reasons)
    assert "not measured" in page


def test_a_sweep_without_trials_renders() -> None:
    sweep = made_up.sweep()
    sweep["trials"], sweep["best"], sweep["confirmation"] = [], None, []
    assert "All 0 trials." in texts(render(sweep), "p")


def _poisoned(value: Any) -> Any:
    """Every free text replaced by one that would be a script, keys of free-form sections included."""
    if isinstance(value, dict):
        free = set(value) <= {"method", "temperature", "learning_rate", "alpha", "seed", "layers"}
        return {(_EVIL + key if free else key): _poisoned(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_poisoned(inner) for inner in value]
    return _EVIL if isinstance(value, str) else value


@pytest.mark.parametrize("kind", ["sweep", "run"])
def test_escapes_everything_it_shows(kind: str) -> None:
    plain = made_up.sweep() if kind == "sweep" else made_up.run()
    poisoned = _poisoned(plain) | {"kind": kind}
    for trial, poor in zip(plain.get("trials", []), poisoned.get("trials", []), strict=True):
        poor["state"] = trial["state"]
    page = render(poisoned)
    scripts = [element for element in read(page) if element.tag == "script"]
    assert page.count("<script>") == len(scripts) == 1
    assert "alert" not in scripts[0].text
    assert page.count("&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot;&#x27;&amp;") > 20


def test_escapes_the_list_too_and_links_only_to_relative_paths() -> None:
    entry = dict(index_entry(made_up.sweep(), "a b.html"))
    page = render_index([entry | {"name": _EVIL, "corpus": _EVIL, "note": _EVIL}])
    assert page.count("<script>") == 1
    assert [e.attributes["href"] for e in read(page) if e.tag == "a"] == ["a b.html"]
    for href in ("javascript:alert(1)", "https://example.org/", "//example.org/x"):
        with pytest.raises(BadInput, match="only paths relative to the list"):
            render_index([entry | {"href": href}])


def test_unprintable_text_can_be_written() -> None:
    sweep = made_up.sweep()
    sweep["trials"][4]["error"] = "bad byte \udc80, bell \x07"
    assert "bad byte \ufffd, bell \ufffd".encode() in render(sweep).encode()


@pytest.mark.parametrize(
    "key", ["name", "created", "command", "kdray", "corpus", "metric", "trials", "best", "settings"]
)
def test_a_missing_key_is_named(key: str) -> None:
    sweep = made_up.sweep()
    del sweep[key]
    with pytest.raises(BadInput, match=rf"the key '{key}' is missing"):
        render(sweep)


@pytest.mark.parametrize("key", ["student", "metrics", "history"])
def test_a_missing_key_of_a_run_is_named(key: str) -> None:
    run = made_up.run()
    del run[key]
    with pytest.raises(BadInput, match=rf"the key '{key}' is missing"):
        render(run)


def test_a_missing_inner_key_is_named_with_its_place() -> None:
    sweep = made_up.sweep()
    del sweep["trials"][3]["state"]
    with pytest.raises(BadInput, match=r"the key 'trials\[3\]\.state' is missing"):
        render(sweep)


def test_a_wrong_value_is_named_with_its_place() -> None:
    sweep = made_up.sweep()
    sweep["trials"][3]["state"] = "running"
    with pytest.raises(BadInput, match=r"trials\[3\]\.state is 'running'.*'complete', 'pruned' or 'failed'"):
        render(sweep)
    with pytest.raises(BadInput, match=r"kind is None"):
        render({})


def test_a_comparison_names_the_highest_and_says_what_that_is_worth() -> None:
    result = made_up.comparison()
    page = render(result)
    assert "Highest of 2 students: vanilla KD, accuracy 60.4 ± 0.7" in page
    assert "beaten by the winner" not in page
    assert not [e for e in read(page) if e.attributes.get("class") == "winner-row"]
    assert "1 of 1 beat the student alone with p below 0.05, each tested by itself" in page
    result["confirmation"][1]["difference"]["p_value"] = 0.3
    assert "0 of 1 beat the student alone" in render(result)
    del result["confirmation"][1]["difference"]
    assert "No difference was tested." in render(result)
    assert index_entry(result, "x.html").get("report") is None


def test_units_and_decisions_must_match() -> None:
    sweep = made_up.sweep()
    sweep["prune"]["examples"][1]["kept"] = [True]
    with pytest.raises(BadInput, match=r"prune\.examples\[1\] has 2 units and 1 decisions"):
        render(sweep)


def test_numbers_that_are_not_finite_are_not_measured() -> None:
    sweep = made_up.sweep()
    sweep["trials"][3]["value"] = float("nan")
    sweep["trials"][5]["history"][0]["loss"] = float("inf")
    page = render(sweep)
    assert "trial 3, complete: not measured" in page
    assert not re.search(r'="-?(nan|inf)', page)


def test_the_same_result_gives_the_same_page() -> None:
    assert render(made_up.sweep()) == render(made_up.sweep())


def test_strikes_out_pruned_sentences_only() -> None:
    assert texts(render(made_up.sweep()), "del") == ["It was a Tuesday."]


def test_shows_what_pruning_did() -> None:
    page = render(made_up.pruning())
    assert "25.0 % of the sentences fell." in texts(page, "p")
    assert texts(page, "h1") == ["invented: pruned by lower_tail"]
    titles = texts(page, "title")
    assert "importance 0.00 to 0.25: 141 units kept" in titles
    assert "importance 0.00 to 0.25: 1,279 units fallen" in titles
    assert "threshold 0.2300" in titles
    assert not [title for title in titles if "0.50 to 0.75" in title and "fallen" in title]
    assert "1 to 4 (1,000): 75.0 %" in titles
    assert not [title for title in titles if title.startswith("5 to 9")]
    assert "10 or more (4,120): 12.8 %" in titles
    assert "5 or more (90): 75.0 %" in titles
    assert texts(page, "del") == ["It was a Tuesday.", "It <b>was</b> a Tuesday."]
    assert max(len(text) for text in texts(page, "span")) <= 160


def test_a_pruned_corpus_of_an_older_version_has_a_page_without_figures() -> None:
    older = made_up.pruning()
    for key in ("threshold", "importance", "lengths", "clusters", "nearest"):
        del older["prune"][key]
    assert "<figure" not in render(older)


def test_a_page_about_pruning_needs_a_pruning() -> None:
    with pytest.raises(BadInput, match="the key 'prune' is missing"):
        render(made_up.pruning() | {"prune": None})


def test_names_the_sample_and_the_subset_in_title_heading_and_banner() -> None:
    sweep = made_up.sweep()
    assert not [e for e in read(render(sweep)) if e.attributes.get("class") == "banner"]
    sweep["corpus"] |= {"is_sample": True, "note": "ships with kdray; subset, 100 of 900 train rows"}
    page = render(sweep)
    named = "invented (the bundled sample; subset, 100 of 900 train rows): sweep made-up"
    assert texts(page, "title")[0] == texts(page, "h1")[0] == named
    banner = next(e.text for e in read(page) if e.attributes.get("class") == "banner")
    assert "the small sample that ships with kdray, not from a public benchmark" in banner
    assert "You asked for 'auto'." in banner
    assert "subset, 100 of 900 train rows" in banner


def test_fills_the_winner_into_the_trial_command() -> None:
    sweep = made_up.sweep()
    sweep["commands"]["trial"] = "go {number} {other}"
    assert {"go N {other}", f"go {sweep['best']['number']} {{other}}"} <= set(texts(render(sweep), "pre"))


def test_the_list_is_newest_first_and_leads_with_the_confirmed_score() -> None:
    old, new = made_up.sweep(), made_up.run()
    old["created"] = "1999-01-01T00:00:00+00:00"
    page = render_index([index_entry(old, "old.html"), index_entry(new, "new.html")])
    assert [e.attributes["href"] for e in read(page) if e.tag == "a"] == ["new.html", "old.html"]
    cells = texts(page, "td")
    assert "accuracy 62.1 %" in cells  # the mean of 0.622, 0.631 and 0.611
    assert "accuracy 60.4 %" in cells


def test_style_and_script_are_packaged() -> None:
    files = {entry.name for entry in resources.files("kdray.report").iterdir()}
    assert {"style.css", "script.html"} <= files


def test_workers_are_listed_by_number() -> None:
    sweep = made_up.sweep()
    for trial in sweep["trials"]:
        trial["worker"] = f"node-{9 + trial['number'] % 3}"
    names = [e.text for e in read(render(sweep)) if e.tag == "text" and e.text.startswith("node-")]
    assert names == ["node-9", "node-10", "node-11"]


def test_a_long_category_is_cut_to_the_room_beside_its_row() -> None:
    sweep = made_up.sweep()
    for trial in sweep["trials"]:
        trial["params"]["schedule"] = "linear" if trial["number"] % 2 else "cosine_with_hard_restarts_and_warm_up"
    labels = [e.text for e in read(render(sweep)) if e.tag == "text" and e.text.startswith("cosine")]
    assert labels == ["cosine_with_hard_restarts_…", "cosine_with_hard…"]
