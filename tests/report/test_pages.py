"""The pages as a whole: complete, balanced, self-contained, safe against what they show, readable on a phone."""

import functools
import itertools
import re
from importlib import resources
from typing import Any

import made_up
import pytest
from reading import markdown, read, texts

from kdray.errors import ConfigError
from kdray.report import PLOTLY, index_entry, render, render_index
from kdray.report.formatting import metric
from kdray.results import parse_result

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
def test_loads_nothing_but_the_script_of_the_figures(name: str) -> None:
    page = _all_pages()[name]
    assert not re.search(r"https?://|url\(|@import|//[a-z]+\.", page)
    elements = read(page)
    has_figures = name in ("sweep", "comparison", "run")
    assert [e.attributes["src"] for e in elements if "src" in e.attributes] == ([PLOTLY] if has_figures else [])
    assert [e.attributes["href"] for e in elements if e.tag == "link"] == ["data:,"]
    policy = next(
        e.attributes["content"] for e in elements if e.attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    assert re.search(r"script-src 'self' file: 'sha256-[^']+'$", policy)


@pytest.mark.parametrize("name", ["sweep", "comparison", "run", "index", "nothing"])
def test_no_fixed_width_is_wider_than_a_phone(name: str) -> None:
    page = _all_pages()[name]
    style = texts(page, "style")[0]
    pixels = [float(width) for width in re.findall(r"(?<!max-)width:\s*([\d.]+)px", style)]
    assert all(width <= 360 for width in pixels)
    assert not [e for e in read(page) if "style" in e.attributes]
    tables = [e for e in read(page) if e.tag == "table"]
    assert all(e.ancestors[-1] == "div" for e in tables)
    assert len([e for e in read(page) if e.attributes.get("class") == "scroll"]) == len(tables)


@pytest.mark.parametrize("name", ["sweep", "comparison", "run"])
def test_every_figure_has_a_title_and_words_and_its_numbers_are_in_a_table(name: str) -> None:
    elements = read(_all_pages()[name])
    plots = [e for e in elements if e.attributes.get("role") == "img"]
    titles = {e.attributes["id"]: e.text for e in elements if e.tag == "h3" and e.ancestors[-1] == "figure"}
    assert plots
    for plot in plots:
        assert re.search(r"^.+: [1-9][0-9]* points?; .*(from \S+ to \S+|,)", plot.attributes["aria-label"])
    figures = [e for e in elements if e.tag == "figure"]
    assert all(titles[e.attributes["aria-labelledby"]] for e in figures)
    labels = [e.attributes.get("aria-label", "") for e in elements if e.attributes.get("role") == "region"]
    assert any(label.startswith("Numbers of the figure") for label in labels)


@pytest.mark.parametrize("name", ["sweep", "comparison", "run", "index"])
def test_landmarks_and_headings_are_in_order(name: str) -> None:
    elements = read(_all_pages()[name])
    for landmark in ("header", "main", "h1", "title"):
        assert len([e for e in elements if e.tag == landmark]) == 1
    levels = [int(e.tag[1]) for e in elements if re.fullmatch("h[1-6]", e.tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert next(e for e in elements if e.attributes.get("href") == "#content").text == "Skip to the content"
    scrolling = [e for e in elements if e.attributes.get("class") == "scroll"]
    assert all(e.attributes["tabindex"] == "0" and e.attributes["aria-label"] for e in scrolling)


def test_numbers_of_the_page_are_those_of_the_result() -> None:
    sweep = made_up.sweep()
    cells = texts(render(sweep), "td")
    trial = sweep["trials"][5]
    at = texts(render(sweep), "th").index("5")
    assert at > 0
    assert f"{trial['value'] * 100:.1f} %" in cells
    assert f"{trial['test'] * 100:.1f} %" in cells
    for student in sweep["confirmation"]:
        mean, std = student["test"]["mean"] * 100, student["test"]["std"] * 100
        assert f"{mean:.1f} ± {std:.1f} %" in cells
        assert f"{mean:.1f} ± {std:.1f} %" in markdown(sweep)
        assert f"{student['retention'] * 100:.1f} %" in cells
    assert "13 min 32 s" in cells  # of the stage that trained the teacher


def test_markdown_has_the_verdict_and_the_tables() -> None:
    text = markdown(made_up.sweep())
    lines = text.splitlines()
    assert lines[0] == "# invented: sweep made-up"
    assert "**Winner (trial 1: dekd): accuracy 62.1 ± 1.0 % on the test split (3 seeds).**" in lines
    (head,) = [line for line in lines if line.startswith("| student |")]
    rule, first = lines[lines.index(head) + 1 : lines.index(head) + 3]
    assert rule.count("|") == head.count("|") == first.count("|")
    assert first.startswith("| winner (trial 1: dekd); search defaults otherwise | 62.1 ± 1.0 % |")
    assert "~~It was a Tuesday.~~" in text
    for made in (made_up.comparison, made_up.run, made_up.pruning):
        assert markdown(made()).startswith("# invented: ")


def test_markdown_shows_texts_as_they_are() -> None:
    sweep = made_up.sweep()
    sweep["confirmation"][1]["label"] = "a|b\n<img src=x> *c* \x07"
    assert "| a\\|b &lt;img src=x&gt; \\*c\\* \ufffd; kd |" in markdown(sweep)


def test_shows_failed_trials_with_their_errors() -> None:
    page = render(made_up.sweep())
    names = [name.split(":")[0] for name in texts(page, "dt") if name.startswith("Trial ")]
    assert names == ["Trial 4", "Trial 9"]
    assert texts(page, "pre").count("RunError: the loss became nan at step 31") == 2


def test_a_sweep_of_a_failed_trial_has_reasons_in_place_of_figures() -> None:
    sweep = made_up.sweep()
    sweep["trials"] = [{"number": 0, "state": "failed", "params": {"a": 1}, "error": "out of memory"}]
    sweep["best"] = None
    for key in ("confirmation", "importances", "importances_note", "seconds", "teachers", "prune", "stages", "commit"):
        del sweep[key]
    page = render(sweep)
    assert "No winner: none of 1 trial was completed." in texts(page, "p")
    reasons = [e.text for e in read(page) if e.attributes.get("class") == "quiet" and e.ancestors[-1] == "figure"]
    assert len(reasons) == 8
    assert PLOTLY not in page
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
    poisoned = _poisoned(plain) | {"kind": kind, "objectives": []}
    for trial, poor in zip(plain.get("trials", []), poisoned.get("trials", []), strict=True):
        poor["state"] = trial["state"]
    page = render(poisoned)
    scripts = [e for e in read(page) if e.tag == "script" and "type" not in e.attributes]
    assert page.count("<script>") == 1
    assert len(scripts) == 2
    assert not [script for script in scripts if "alert" in script.text]
    assert page.count("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&#34;&#39;&amp;") > 20


def test_escapes_the_list_too_and_links_only_to_relative_paths() -> None:
    entry = index_entry(made_up.sweep(), "a b.html").plain()
    page = render_index([entry | {"name": _EVIL, "corpus": _EVIL, "note": _EVIL}])
    assert page.count("<script>") == 1
    assert [e.attributes["href"] for e in read(page) if e.tag == "a"] == ["#content", "a b.html"]
    for href in ("javascript:alert(1)", "https://example.org/", "//example.org/x"):
        with pytest.raises(ConfigError, match="only paths relative to the list"):
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
    with pytest.raises(ConfigError, match=rf"the key '{key}' is missing"):
        render(sweep)


@pytest.mark.parametrize("key", ["student", "metrics", "history"])
def test_a_missing_key_of_a_run_is_named(key: str) -> None:
    run = made_up.run()
    del run[key]
    with pytest.raises(ConfigError, match=rf"the key '{key}' is missing"):
        render(run)


def test_a_missing_inner_key_is_named_with_its_place() -> None:
    sweep = made_up.sweep()
    del sweep["trials"][3]["state"]
    with pytest.raises(ConfigError, match=r"the key 'trials\[3\]\.state' is missing"):
        render(sweep)


def test_a_wrong_value_is_named_with_its_place() -> None:
    sweep = made_up.sweep()
    sweep["trials"][3]["state"] = "running"
    with pytest.raises(ConfigError, match=r"trials\[3\]\.state is 'running'.*'complete', 'pruned' or 'failed'"):
        render(sweep)
    with pytest.raises(ConfigError, match=r"kind is None"):
        render({})


@pytest.mark.parametrize(
    ("damaged", "sentence"),
    [
        ([1], "sweeps/s/result.json: found list, but a result is an object of keys and values; run the command"),
        (None, "sweeps/s/result.json: found NoneType"),
        ({"kind": ["sweep"]}, r"sweeps/s/result.json: kind is \['sweep'\], but a report needs"),
        (made_up.sweep() | {"trials": 3}, r"sweeps/s/result.json \(sweep\): trials is 3, which a report cannot use"),
        (made_up.run() | {"corpus": None}, r"sweeps/s/result.json \(run\): corpus is None"),
    ],
)
def test_a_damaged_result_is_named_with_its_file(damaged: Any, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_result(damaged, source="sweeps/s/result.json")


@pytest.mark.parametrize("make", [made_up.sweep, made_up.comparison, made_up.run, made_up.pruning])
def test_what_is_written_is_what_is_read(make: Any) -> None:
    record = parse_result(make())
    assert parse_result(record.plain()) == record
    assert record.plain()["settings"] == make()["settings"]
    assert parse_result(make() | {"later": 1}).plain()["later"] == 1  # a key of a newer version stays


def test_a_comparison_names_the_best_and_its_caveat() -> None:
    result = made_up.comparison()
    page = render(result)
    assert "Highest of 1 method: vanilla KD, accuracy 60.4 ± 0.7" in page
    assert "beaten by the winner" not in page
    assert not [e for e in read(page) if e.attributes.get("class") == "winner-row"]
    assert "with p below 0.05 in the table of students: 1 of 1; p is not corrected" in page
    result["confirmation"][1]["difference"]["p_value"] = 0.3
    assert "with p below 0.05 in the table of students: 0 of 1" in render(result)
    del result["confirmation"][1]["difference"]
    assert "No difference was tested over the seeds." in render(result)
    assert index_entry(result, "x.html").test == pytest.approx(0.60367, abs=1e-4)  # the best method's
    assert "1 page, newest first." in render_index([index_entry(result, "x.html")])


def test_the_command_that_began_a_resumed_sweep_is_shown() -> None:
    sweep = made_up.sweep()
    assert "made by" in texts(render(sweep), "dt")
    sweep["commands"]["first"] = "kdray sweep first.yaml"
    page = render(sweep)
    assert {"begun by", "ended by"} <= set(texts(page, "dt"))
    assert ", of the command that ended the sweep." in page
    assert "kdray sweep first.yaml" in page


def test_a_distillation_ratio_without_a_gap_is_undefined() -> None:
    sweep = made_up.sweep()
    student = next(each for each in sweep["confirmation"] if each["distillation_ratio"] is not None)
    student["distillation_ratio"] = None
    assert "undefined" in texts(render(sweep), "td")


def test_marks_of_the_ladder_have_numbers_that_the_caption_explains() -> None:
    page = render(made_up.sweep())
    assert '"text": ["1", "2", "3"]' in page
    assert "1: winner (trial 1: dekd); 2: no-KD baseline; 3: vanilla KD; 4: big." in page
    sweep = made_up.sweep()
    for student in sweep["confirmation"][1:]:
        student["test"] = sweep["confirmation"][0]["test"]
    assert '"text": ["1, 2, 3", "", ""]' in render(sweep), "marks that lie on each other"


def test_the_times_of_trials_in_words_are_those_of_the_axis() -> None:
    # the ends of bars: the first is that of trial 2 (2 + 12 s), the last that of trial 19 (6 * 41 + 1 + 38 s)
    assert "minutes since the first start from 0.2333 to 4.75;" in markdown(made_up.sweep())


def test_markdown_names_the_figures_that_it_leaves_out() -> None:
    text = markdown(made_up.sweep())
    assert "*Figure of the HTML page: Score against size: 4 points; " in text
    assert text.count("All 5 settings") == 1


def test_a_repeated_command_is_not_called_the_total() -> None:
    for make in (made_up.sweep, made_up.comparison):
        names = texts(render(make()), "dt")
        assert "time of the last command" in names
        assert "total time" not in names
    assert "total time" in texts(render(made_up.run()), "dt")


def test_a_comparison_shows_the_tests_between_its_students() -> None:
    assert "Tests between students, paired." not in render(made_up.comparison())
    pair = {"label": "vanilla KD", "to": "no-KD baseline", "difference": 0.032, "low": -0.011, "high": 0.07}
    page = render(made_up.comparison() | {"pairs": [pair | {"p_rows": 0.02, "holm_rows": 0.04}]})
    assert "Tests between students, paired." in page
    assert "\u22121.1 points to +7.0 points" in page
    assert "p\u00a0=\u00a00.04" in page


def test_the_table_of_students_has_no_hash_of_a_class() -> None:
    result = made_up.comparison()
    result["confirmation"][1] |= {"label": "Mine", "method": "mine.py:Mine@0123456789abcdef"}
    page = render(result)
    assert "mine.py:Mine" in page
    assert "@0123456789abcdef" not in page


@pytest.mark.parametrize("make", [made_up.sweep, made_up.comparison])
def test_noise_and_agreement_are_explained(make: Any) -> None:
    assert {"Methods and controls", "Noise of the test rows", "Agreement"} <= set(texts(render(make()), "dt"))


def test_a_comparison_explains_each_test_between_its_students() -> None:
    names = {"Tests between students", "p by rows", "95 % interval", "p by seeds", "Holm"}
    result = made_up.comparison()
    assert not names & set(texts(render(result), "dt"))
    result["pairs"] = [{"label": "vanilla KD", "to": "no-KD baseline", "difference": 0.032}]
    page = render(result)
    assert names <= set(texts(page, "dt"))
    weak = "The test by seeds has almost no power with two seeds"
    assert weak not in page
    for student in result["confirmation"]:
        student["seeds"] = [0, 1]
    assert weak in render(result)


def test_units_and_decisions_must_match() -> None:
    sweep = made_up.sweep()
    sweep["prune"]["examples"][1]["kept"] = [True]
    with pytest.raises(ConfigError, match=r"prune\.examples\[1\] has 2 units and 1 decisions"):
        render(sweep)


def test_numbers_that_are_not_finite_are_not_measured() -> None:
    sweep = made_up.sweep()
    sweep["trials"][3]["value"] = float("nan")
    sweep["trials"][5]["history"][0]["loss"] = float("inf")
    page = render(sweep)
    assert "trial 3, complete: not measured" in page
    assert not re.search(r"\b(NaN|Infinity|nan|inf)\b", page.replace("became nan", "").split("Sorting is an extra")[0])


def test_the_same_result_gives_the_same_page() -> None:
    assert render(made_up.sweep()) == render(made_up.sweep())


def test_strikes_out_pruned_sentences_only() -> None:
    assert texts(render(made_up.sweep()), "del") == ["It was a Tuesday."]


def test_shows_what_pruning_did() -> None:
    page = render(made_up.pruning())
    assert "25.0 % of the sentences were dropped." in texts(page, "p")
    assert texts(page, "h1") == ["invented: pruned by lower_tail"]
    assert "3,841 units kept, 1,279 dropped." in page
    cells = texts(page, "td")
    assert {"1 to 4 (1,000)", "10 or more (4,120)", "5 or more (90)"} <= set(cells)
    assert not [cell for cell in cells if cell.startswith("5 to 9")]
    assert texts(page, "del") == ["It was a Tuesday.", "It <b>was</b> a Tuesday."]
    assert max(len(text) for text in texts(page, "th")) <= 160


def test_a_pruned_corpus_of_an_older_version_has_a_page_without_figures() -> None:
    older = made_up.pruning()
    for key in ("threshold", "importance", "lengths", "clusters", "nearest"):
        del older["prune"][key]
    assert "<figure" not in render(older)


def test_a_page_about_pruning_needs_a_pruning() -> None:
    with pytest.raises(ConfigError, match="the key 'prune' is missing"):
        render(made_up.pruning() | {"prune": None})


def test_names_the_sample_and_the_subset_in_heading_and_banner_and_the_sample_in_the_tab() -> None:
    sweep = made_up.sweep()
    assert not [e for e in read(render(sweep)) if e.attributes.get("class") == "banner"]
    sweep["corpus"] |= {"is_sample": True, "note": "ships with kdray; subset, 100 of 900 train rows"}
    page = render(sweep)
    named = "invented (the bundled sample; subset, 100 of 900 train rows): sweep made-up"
    assert texts(page, "h1")[0] == named
    assert texts(page, "title")[0] == "sweep made-up, invented (sample)"
    banner = next(e.text for e in read(page) if e.attributes.get("class") == "banner")
    assert "the small sample that ships with kdray, not from a public benchmark" in banner
    assert "The requested corpus was 'auto'." in banner
    assert "subset, 100 of 900 train rows" in banner
    sweep["corpus"] |= {"requested": "sample", "test_from": None}
    page = render(sweep)
    assert texts(page, "title")[0] == "sweep made-up, invented (sample)"
    assert texts(render(made_up.sweep() | {"name": "invented-1"}), "title")[0] == "sweep invented-1"
    assert "The requested corpus was" not in page
    assert "source of the test split" not in page


def test_the_heading_says_that_rows_are_missing_and_the_banner_what_else_there_is_to_say() -> None:
    sweep = made_up.sweep()
    sweep["corpus"] |= {"note": "limited to 300 of 900 train rows; 1 of 20 test rows are word for word in train"}
    page = render(sweep)
    assert texts(page, "h1")[0] == "invented (limited to 300 of 900 train rows): sweep made-up"
    banner = next(e.text for e in read(page) if e.attributes.get("class") == "banner")
    assert banner == "The rows: limited to 300 of 900 train rows; 1 of 20 test rows are word for word in train."


def test_fills_the_winner_into_the_trial_command() -> None:
    sweep = made_up.sweep()
    sweep["commands"]["trial"] = "go {number} {other}"
    assert {"go N {other}", f"go {sweep['best']['number']} {{other}}"} <= set(texts(render(sweep), "pre"))


def test_the_list_is_newest_first_and_leads_with_the_confirmed_score() -> None:
    old, new = made_up.sweep(), made_up.run()
    old["created"] = "1999-01-01T00:00:00+00:00"
    page = render_index([index_entry(old, "old.html"), index_entry(new, "new.html")])
    assert [e.attributes["href"] for e in read(page) if e.tag == "a"][1:] == ["new.html", "old.html"]
    cells = texts(page, "td")
    assert {"dekd", "kd"} <= set(cells)
    assert "accuracy 62.1 %" in cells  # the mean of 0.622, 0.631 and 0.611
    assert "accuracy 60.4 %" in cells


def test_the_list_has_a_table_for_each_corpus_the_one_with_the_newest_page_first() -> None:
    def entry(year: str, corpus: str) -> dict[str, object]:
        created = f"20{year}-01-01T00:00:00+00:00"
        return index_entry(made_up.run(), f"{year}.html").plain() | {"created": created, "corpus": corpus}

    page = render_index([entry("21", "rte"), entry("24", "mrpc"), entry("22", "mrpc"), entry("23", "rte")])
    captions = [e.attributes["aria-label"] for e in read(page) if e.attributes.get("role") == "region"]
    assert captions == ["mrpc: 2 pages, newest first.", "rte: 2 pages, newest first."]
    links = [e.attributes["href"] for e in read(page) if e.tag == "a"]
    assert links[1:] == ["24.html", "22.html", "23.html", "21.html"]


def test_templates_are_packaged() -> None:
    files = {entry.name for entry in resources.files("kdray.report").joinpath("templates").iterdir()}
    assert {"page.html", "page.md", "style.css", "page.js"} <= files


def test_a_page_of_a_sweep_finds_the_script_of_its_store() -> None:
    assert f'<script src="../../report/{PLOTLY}"></script>' in render(made_up.sweep(), folder="../../report/")


def test_languages_have_a_table_where_they_count() -> None:
    by = {"de": {"accuracy": 0.5, "f1": 0.25}, "en": {"accuracy": 0.75}, "macro": {"accuracy": 0.625}}
    page = markdown({**made_up.run(), "languages": {"test": by}})
    lines = [line for line in page.splitlines() if line.startswith(("| de ", "| en ", "| macro "))]
    assert [re.findall(r"\d+\.\d+", line) for line in lines] == [["50.0", "25.0"], ["75.0"], ["62.5"]]
    sweep = made_up.sweep()
    for student in sweep["confirmation"]:
        student["languages"] = {"de": 0.5, "macro": 0.5}
    assert "by language; macro is their mean" in markdown(sweep)
    assert "by language" not in markdown(made_up.sweep())


@pytest.mark.parametrize("make", [made_up.sweep, made_up.comparison])
def test_classes_have_scores_of_each_student_and_teacher(make: Any) -> None:
    lines = markdown(make()).splitlines()
    (head,) = [line for line in lines if line.startswith("| class | support |")]
    assert {"F1, no-KD baseline", "F1, vanilla KD", "F1, big"} <= set(head.strip("| ").split(" | "))
    (line,) = [line for line in lines if line.startswith("| not\\_entailment | 131 |")]
    assert "| 0.540; P 0.550, R 0.530 |" in line
    assert "Means over the seeds; P is precision, R recall." in lines[lines.index(head) - 2]


def test_the_classes_of_a_run_have_a_column_a_score() -> None:
    lines = markdown(made_up.run()).splitlines()
    assert "| class | precision | recall | F1 | support |" in lines
    assert "| entailment | 0.650 | 0.610 | 0.630 | 146 |" in lines
    assert "Classes" not in markdown(made_up.run() | {"classes": {}})


def test_of_many_classes_the_worst_of_the_leader_are_shown() -> None:
    result, scores = made_up.comparison(), {"precision": 0.5, "recall": 0.5, "support": 3}
    for student, sign in zip(result["confirmation"], (-1, 1), strict=True):
        student["classes"] = {f"c{at:02}": {**scores, "f1": 0.5 + sign * at / 100} for at in range(30)}
    text = markdown(result)
    assert "The 10 of 30 classes of the test split with the lowest F1 of vanilla KD;" in text
    assert re.findall(r"^\| (c\d+) ", text, re.MULTILINE) == [f"c{at:02}" for at in range(10)]


def test_the_story_has_its_order() -> None:
    titles = texts(render(made_up.sweep()), "h2")
    assert titles[:6] == [
        "Score against cost", "Confirmation", "Classes", "What the search learned", "Pruning", "Cost and time",
    ]  # fmt: skip


def test_a_comparison_shows_the_settings_and_digests_of_each_student() -> None:
    result = made_up.comparison()
    alone, vanilla = result["confirmation"]
    alone |= {"settings": {"method.name": "none"}, "runs": ["aa11bb22cc33dd44", "bb22", "cc33"]}
    vanilla["settings"] = {"method.name": "kd", "method.temperature": 2.0}
    lines = markdown(result).splitlines()
    assert "| setting | no-KD baseline | vanilla KD |" in lines
    assert "| method.temperature | – | 2 |" in lines
    assert "| no-KD baseline | 0 | aa11bb22cc33 |" in lines
    assert any("before the changes of each student" in line for line in lines)


def test_a_comparison_of_an_older_version_has_no_settings_of_students() -> None:
    assert "before the changes" not in markdown(made_up.comparison())
    assert "Students and their digests" not in markdown(made_up.comparison())


def test_negative_numbers_have_a_minus_sign() -> None:
    sweep = made_up.sweep()
    sweep["confirmation"][1]["distillation_ratio"] = -0.04
    assert "\u22120.04" in texts(render(sweep), "td")
    assert metric("matthews", 277).score(-0.12) == "\u22120.120"


def test_markdown_keeps_quotes() -> None:
    sweep = made_up.sweep()
    sweep["confirmation"][1]["note"] = 'the teacher\'s "own" <b>'
    assert 'the teacher\'s "own" &lt;b&gt;' in markdown(sweep)


def test_a_whole_corpus_is_not_called_unmeasured() -> None:
    whole = made_up.sweep() | {"prune": None, "settings": {"prune": {"policy": {"name": "none"}}}}
    assert "Pruning: none, the whole corpus was used." in render(whole)
    assert "Pruning: not recorded." in render(made_up.sweep() | {"prune": None, "settings": {}})
