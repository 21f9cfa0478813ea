"""One way in: YAML, dotted overrides, validation; refusals are one sentence that names the file and the key."""

import pytest

from kdray.config import RunConfig, load, parse
from kdray.errors import ConfigError

FILE = """
store: here
corpus: {name: sst2}
teachers:
  - {name: one, encoder: minilm}
  - {name: two, train: {epochs: 2}}
method: {name: ens_u, temperature: 4}
train: {learning_rate: 1.0e-4}
"""


@pytest.fixture
def run_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(FILE)
    return path


def refusal(path, *overrides):
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith((".", ")", "?"))
    return sentence


def test_a_file_is_read_and_the_rest_is_default(run_file):
    run = load(run_file)
    assert run.store == "here"
    assert run.corpus.name == "sst2"
    assert [teacher.name for teacher in run.teachers] == ["one", "two"]
    assert run.teachers[1].train.epochs == 2
    assert (run.method.name, run.method.model_dump()["temperature"], run.method.model_dump()["alpha"]) == (
        "ens_u",
        4,
        0.5,
    )
    assert run.train.learning_rate == 1e-4
    assert run.train.epochs == RunConfig().train.epochs


def test_no_file_is_the_defaults_and_an_empty_file_is_refused(tmp_path):
    assert load(None) == RunConfig()
    for nothing in ("", "# nothing\n", "null\n", "---\n"):
        (tmp_path / "empty.yaml").write_text(nothing)
        with pytest.raises(ConfigError, match=r"empty\.yaml is empty: expected sections such as corpus:"):
            load(tmp_path / "empty.yaml")


def test_overrides_are_yaml_and_descend(run_file):
    run = load(
        run_file,
        [
            "method.temperature=8",
            "teachers.1.name=zwei",
            "teachers.0.train.epochs=9",
            "train.precision=bf16",
            "store=s3://b/x",
        ],
    )
    assert run.method.model_dump()["temperature"] == 8
    assert [teacher.name for teacher in run.teachers] == ["one", "zwei"]
    assert run.teachers[0].train.epochs == 9
    assert run.store == "s3://b/x"
    whole = load(run_file, ["method={name: kd, alpha: 0.2}", "teachers.0={name: uno}", "work.gpus=null"])
    assert whole.method.model_dump()["alpha"] == 0.2
    assert whole.teachers[0].name == "uno"
    assert whole.work.gpus is None


def test_the_last_override_wins(run_file):
    assert load(run_file, ["train.epochs=2", "train.epochs=5"]).train.epochs == 5


def test_an_override_may_start_a_section(run_file):
    assert load(run_file, ["student.layers=4"]).student.layers == 4


def test_a_key_of_the_command_line_is_not_said_of_the_file(run_file, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("trian: {epochs: 2}\n")
    assert refusal(bad, "train.seed=1").startswith("bad.yaml: unknown setting trian")
    assert refusal(run_file, "trian.epochs=2") == "unknown setting trian; did you mean train?"


def test_unknown_keys_are_named(run_file):
    assert refusal(run_file, "method.temprature=4").startswith("unknown setting method.temprature")
    assert refusal(run_file, "sotre=x") == "unknown setting sotre; did you mean store?"
    assert refusal(run_file, "method.temprature=4").endswith("did you mean temperature?")
    assert refusal(run_file, "prune.policy={name: match_rate, rate: 0.1, rat: 1}").endswith("did you mean rate?")
    assert refusal(run_file, "prune.policy={name: match_rate, rates: 1}").endswith("did you mean rate?")
    assert refusal(run_file, "teachers.0.train.epoch=1").endswith("did you mean epochs?")
    assert refusal(run_file, "work.zzz=1").endswith("allowed are actors, block_rows, cpus, gpus, retries, workers.")
    assert refusal(None, "train.epoch=3").startswith("unknown setting train.epoch")
    assert "unknown setting teachers.1.layer" in refusal(run_file, "teachers.1.layer=3")


@pytest.mark.parametrize(
    ("overrides", "end"),
    [
        (["temperature=4"], "unknown setting temperature; did you mean method.temperature?"),
        (["layers=3"], "unknown setting layers; did you mean student.layers?"),
        (["student.batch_size=8"], "unknown setting student.batch_size; did you mean train.batch_size?"),
        (["method.epochs=8"], "unknown setting method.epochs of ens_u; did you mean train.epochs?"),
        (["policy.name=none"], "unknown setting policy; did you mean prune.policy?"),
        (["name=kd"], "unknown setting name; did you mean corpus.name or method.name?"),
        (["method.name=finetune", "temperature=4"], "teachers, train, work."),  # no setting of this method
    ],
)
def test_a_setting_of_another_section_is_named_with_its_section(run_file, overrides, end):
    assert refusal(run_file, *overrides).endswith(end)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("train.epochs=0", ["train.epochs = 0: allowed is a number from 1 to 1,000."]),
        ("train.epochs=many", ["train.epochs: ", "expected a number", "(found 'many')."]),
        ("method.temperature=0", ["method.temperature = 0: allowed is a number from above 0 to 1,000."]),
        ("method.alpha=1.5", ["method.alpha = 1.5: allowed is a number from 0 to 1."]),
        ("method.name=kdd", ["method.name = 'kdd'", "did you mean kd?"]),
        ("train.precision=fp16", ["train.precision = 'fp16' is unknown; allowed are auto, fp32, bf16."]),
        (
            "corpus.name=sst3",
            ["corpus: name = sst3 is unknown; the nearest is sst2; for your own files set name = folder and path ("],
        ),
        ("train.epochs=2.5", ["train.epochs: expected a whole number (found 2.5)."]),
        ("student.vocabulary=cut", ["student.vocabulary = 'cut' is unknown; allowed are full, trim."]),
        ("student=minilm", ["student is a section of settings, found 'minilm'; write student.SETTING=VALUE; it has"]),
        (
            "corpus=rows.csv",
            ["corpus is a section of settings, found 'rows.csv'; for your own files see recipes/own.yaml."],
        ),
        ("corpus=rte", ["corpus is a section of settings; write corpus.name=rte, or corpus: {name: rte} in a file."]),
        ("teachers=minilm", ["teachers: expected a list, such as [a, b] (found 'minilm')."]),
        ("teachers.1.name=one", ["teachers must have different names, found ['one', 'one']."]),
        ("student.init_from=assistant", ["student.init_from = assistant, but method ens_u uses no assistant."]),
        (
            "student={init_from: teacher, encoder: bert-base-uncased}",
            [
                "student.encoder = bert-base-uncased has no effect: init_from = teacher takes layers that stem from "
                "teacher one, whose encoder is minilm; leave it out."
            ],
        ),
        (
            "method={name: kd, kd_term: mse, temperature: 4}",
            ["method: temperature would have no effect, because kd_term"],
        ),
        (
            "method={name: dekd, lambda3: 0, granularity: instance}",
            ["granularity would have no effect, because lambda3"],
        ),
        ("method={name: dekd, lambda1: 0, lambda2: 0, lambda3: 0}", ["method: lambda1, lambda2 and lambda3 are all 0"]),
        ("method={name: dekd, lambda2: 0, ta_depth: 4}", ["ta_depth would have no effect, because lambda2 is 0"]),
        ("prune.policy=nothing", ["prune.policy"]),
    ],
)
def test_wrong_values_are_named_with_what_was_found(run_file, override, parts):
    sentence = refusal(run_file, override)
    for part in parts:
        assert part in sentence, sentence


def test_a_name_that_was_typed_is_not_blamed_on_the_file(run_file):
    assert refusal(run_file, "corpus.name=sst3").startswith("corpus: name = sst3 is unknown")


def test_no_teachers_for_a_student_that_comes_from_one(run_file):
    assert "there are no teachers" in refusal(
        run_file, "teachers=[]", "method={name: finetune}", "student.init_from=teacher"
    )


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("train.epochs", "override 'train.epochs' is not of the form key=value, for example method.temperature=4."),
        ("=4", "override '=4' is not of the form key=value, for example method.temperature=4."),
        ("teachers.2.name=x", "override teachers.2.name: '2' is not a position in a list of 2; the first is 0."),
        ("teachers.one.name=x", "override teachers.one.name: 'one' is not a position in a list of 2; the first is 0."),
        ("teachers.2=x", "override teachers.2: '2' is not a position in a list of 2; the first is 0."),
        ("store.x=1", "override store.x: 'x' is below a plain value."),
        ("store.x.y=1", "override store.x.y: 'x' is below a plain value."),
    ],
)
def test_overrides_that_lead_nowhere(run_file, override, sentence):
    assert refusal(run_file, override) == sentence


def test_a_value_that_is_no_yaml_names_the_override(run_file):
    assert refusal(run_file, "method={name: kd").startswith("override method: not valid YAML: ")


def test_a_section_that_is_empty_in_the_file_can_be_overridden(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("train:\n")
    assert load(path, ["train.epochs=7"]).train.epochs == 7


def test_files_that_cannot_be_read(tmp_path):
    assert refusal(tmp_path / "no.yaml").endswith("no.yaml: No such file or directory; give a file of settings (YAML).")
    assert refusal(tmp_path) == f"{tmp_path}: Is a directory; give a file of settings (YAML)."
    (tmp_path / "list.yaml").write_text("- a\n")
    assert refusal(tmp_path / "list.yaml").endswith("expected sections such as corpus: and method:, found a list.")
    (tmp_path / "broken.yaml").write_text("a: [1\nb: 2")
    assert "broken.yaml: not valid YAML: " in refusal(tmp_path / "broken.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert "binary.yaml: not valid YAML: " in refusal(tmp_path / "binary.yaml")


def test_yaml_is_data_and_no_program(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("store: !!python/object/apply:os.system ['exit 1']\n")
    assert refusal(path).endswith(
        "line 1 has the YAML tag !!python/object/apply:os.system; tags are not allowed, remove it."
    )


def test_keys_must_be_words(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("1: 2\n")
    assert "1" in refusal(path)


def test_settings_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        RunConfig().store = "elsewhere"


def test_plain_values_make_a_run():
    assert parse({"method": {"name": "finetune"}}, source="trial 3").method.name == "finetune"
    with pytest.raises(ConfigError, match=r"^trial 3: unknown setting method\.alpha of finetune; allowed are name\.$"):
        parse({"method": {"name": "finetune", "alpha": 1}}, source="trial 3")
    assert parse(RunConfig().model_dump(mode="json"), source="again") == RunConfig()


@pytest.mark.parametrize("name", ["tinybert", "minilm", "distilbert"])
def test_methods_that_compare_tokens_want_teachers_that_read_the_pruned_texts(name):
    method = {"method": {"name": name}}
    with pytest.raises(ConfigError, match=rf"method {name} compares token by token.*teacher_view = pruned, or"):
        parse(method, source="test")
    parse(method | {"outputs": {"teacher_view": "pruned"}}, source="test")
    parse(method | {"prune": {"policy": "none"}}, source="test")
    parse(method | {"prune": {"level": "row"}}, source="test")  # drops rows, and leaves texts as they are


def test_pruning_without_teachers_names_its_embedders(tmp_path):
    base = {"teachers": [], "method": {"name": "finetune"}}
    with pytest.raises(
        ConfigError, match=r"prune takes embeddings from the teachers, but teachers is empty; set prune\.emb"
    ):
        parse(base, source="test")
    for prune in ({"policy": "none"}, {"embedders": "minilm"}, {"keep_medoids": "none"}):
        parse(base | {"prune": prune}, source="test")


def test_another_methods_name_drops_the_settings_of_the_old_one(run_file):
    """In whatever order they are given."""
    old = load(run_file)
    assert old.method.name == "ens_u"
    for overrides in (["method.name=pkd", "method.beta=7"], ["method.beta=7", "method.name=pkd"]):
        method = load(run_file, overrides).method
        assert (method.name, method.beta) == ("pkd", 7)
        assert method.temperature == type(method)().temperature
    same = load(run_file, ["method.name=ens_u"]).method
    assert same == old.method
    changed = load(run_file, ["prune.policy={name: match_rate, rate: 0.1}", "prune.policy.name=lower_tail"])
    assert changed.prune.policy.name == "match_rate"  # what is given whole is what holds


def test_a_patience_that_cannot_run_out_is_refused(run_file):
    assert refusal(run_file, "train.epochs=3", "train.patience=3") == (
        "train: patience = 3 has no effect: there are 3 epochs; give fewer than that, or 0."
    )
    assert load(run_file, ["train.epochs=3", "train.patience=2"]).train.patience == 2


@pytest.mark.parametrize("name", ["dekd", "ens_u"])
def test_an_assistant_learns_from_one_model_without_an_assistant(run_file, name):
    sentence = (
        f"run.yaml: assistant: method {name} does not distill an assistant: an assistant learns from one model by a "
        "method such as kd or pkd."
    )
    assert refusal(run_file, f"assistant.method.name={name}") == sentence
    assert load(run_file, ["assistant.method.name=pkd"]).assistant.method.name == "pkd"
    assert load(run_file, ["assistant.method.temperature=2"]).assistant.method.name == "kd"
