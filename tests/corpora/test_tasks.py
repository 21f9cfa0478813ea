import pytest
from pydantic import ValidationError

from kdray.corpora import TASKS, CorpusSettings, Field


def refusal(**settings):
    with pytest.raises(ValidationError) as caught:
        CorpusSettings.model_validate(settings)
    return str(caught.value)


OWN = {"name": "folder", "path": "somewhere", "labels": ("no", "yes")}


def test_named_corpora_and_the_sample_are_listed():
    assert set(TASKS) == {
        *("rte", "sst2", "mrpc", "qnli", "qqp", "mnli", "cola", "emotion", "ag_news", "imdb"),
        *("stsb", "sib200", "umsab", "europarl_lid", "phishing_url", "webkb", "sample"),
        *("conll2003", "wnut17", "resume_ner", "weibo_ner", "cluener", "msra_ner", "panx"),
    }


def test_class_order_is_that_of_the_data_sets():
    assert TASKS["rte"].labels == TASKS["sample"].labels == ("entailment", "not_entailment")
    assert TASKS["mnli"].labels == ("entailment", "neutral", "contradiction")
    assert TASKS["sst2"].labels == ("negative", "positive")
    assert TASKS["emotion"].labels == ("sadness", "joy", "love", "anger", "fear", "surprise")
    assert TASKS["ag_news"].labels == ("World", "Sports", "Business", "Sci/Tech")
    assert TASKS["conll2003"].labels[:5] == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")
    assert TASKS["wnut17"].labels[-2:] == ("B-product", "I-product")


def test_questions_and_hypotheses_are_never_pruned():
    roles = {name: {each.name: each.role for each in task.fields} for name, task in TASKS.items()}
    assert roles["qnli"] == {"question": "query", "sentence": "context"}
    assert roles["mnli"] == {"premise": "context", "hypothesis": "query"}
    assert roles["rte"] == {"sentence1": "context", "sentence2": "query"}
    assert roles["mrpc"] == {"sentence1": "pair", "sentence2": "pair"}
    assert roles["imdb"] == {"text": "body"}


def test_paraphrase_tasks_select_on_accuracy_and_cola_on_matthews():
    assert TASKS["mrpc"].metrics == TASKS["qqp"].metrics == ("accuracy", "f1")
    assert TASKS["cola"].metrics == ("matthews",)


def test_hidden_test_labels_make_dev_the_reported_split():
    assert {TASKS[name].test_split for name in ("rte", "sst2", "mrpc", "qnli", "qqp", "cola")} == {"validation"}
    assert TASKS["mnli"].test_split == "validation_matched"
    assert {TASKS[name].test_split for name in ("emotion", "ag_news", "imdb")} == {"test"}


def test_imdb_and_ag_news_carve_what_the_papers_carve():
    assert TASKS["imdb"].full_rows["train"] * TASKS["imdb"].validation_fraction == 5_000
    assert TASKS["ag_news"].full_rows["train"] * TASKS["ag_news"].validation_fraction == 6_000
    assert TASKS["emotion"].validation_split == "validation"


def test_refuses_unknown_names_and_keys():
    assert "name = rtee is unknown; the nearest is rte" in refusal(name="rtee")
    assert "Extra inputs are not permitted" in refusal(name="rte", folder="x")


@pytest.mark.parametrize(
    "setting", [{"path": "x"}, {"columns": {"text": "t"}}, {"labels": ("a", "b")}, {"fields": (Field("text", "body"),)}]
)
def test_refuses_folder_settings_with_a_named_task(setting):
    (key,) = setting
    assert f"{key} is used only with name = folder, but name = rte" in refusal(name="rte", **setting)


def test_refuses_selection_settings_where_the_official_split_is_used():
    assert "validation_fraction = 0.2 has no effect: emotion has a validation split for selection" in refusal(
        name="emotion", validation_fraction=0.2
    )
    assert "split_seed = 3 has no effect" in refusal(name="emotion", split_seed=3)
    assert "group_by = text has no effect" in refusal(name="emotion", group_by="text")
    assert CorpusSettings(name="emotion", split_seed=3, limit=10).split_seed == 3


def test_refuses_an_incomplete_folder():
    assert "needs path" in refusal(name="folder", labels=("a", "b"))
    assert "needs labels: two or more class names, found 1" in refusal(name="folder", path="x", labels=("a",))


def test_refuses_fields_without_a_meaning():
    lone_query = [{"name": "text", "role": "query"}]
    assert "fields have the roles query, allowed are body; " in refusal(**OWN, fields=lone_query)
    assert "names must differ" in refusal(**OWN, fields=[{"name": "label", "role": "body"}])
    assert "columns maps txt, which is not a field; allowed are id, label, text" in refusal(
        **OWN, fields=[{"name": "text", "role": "body"}], columns={"txt": "t"}
    )
    assert "columns maps two names to one column" in refusal(**OWN, columns={"text": "t", "label": "t"})


def test_refuses_ambiguous_labels():
    assert "class names must differ and not be empty" in refusal(name="folder", path="x", labels=("a", "a"))
    assert "-1 cannot be a class, it marks rows without one" in refusal(name="folder", path="x", labels=("-1", "0"))
    assert CorpusSettings(name="folder", path="x", labels=("0", "1")).labels == ("0", "1")


def test_refuses_f1_of_three_classes_and_unknown_metrics():
    assert "metrics has f1, which is for two classes, but there are 3; use macro_f1" in refusal(
        name="mnli", metrics=("f1",)
    )
    assert "metric 'auc' is unknown; known are accuracy, f1," in refusal(name="rte", metrics=("auc",))
    assert "metric 'pearson' is for targets of the kind value, but single_label has class" in refusal(
        name="rte", metrics=("pearson",)
    )


def test_settings_survive_a_round_trip():
    settings = CorpusSettings(**OWN, fields=(Field("a", "context"), Field("b", "query")), columns={"a": "x"})
    assert CorpusSettings.model_validate(settings.model_dump()) == settings
    assert CorpusSettings.model_validate_json(settings.model_dump_json()) == settings
