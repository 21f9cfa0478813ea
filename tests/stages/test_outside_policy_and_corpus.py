"""A pruning policy and a corpus from outside of kdray, in one file each: those of docs/extending.md."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pyarrow.parquet as pq
import pytest
import tiny

import kdray as kd
from kdray.config import load, parse
from kdray.errors import ConfigError
from kdray.experiments.students import sendable
from kdray.pruning import Pruner
from kdray.stages import Context, InProcess, read, with_pruning
from kdray.store import Artifact, Store

PAGE = pages.ROOT / "docs/extending.md"
POLICY, CORPUS = pages.code_with(PAGE, "class Quantile"), pages.code_with(PAGE, "def reviews")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "quantile.py").write_text(POLICY)
    (tmp_path / "my_reviews.py").write_text(CORPUS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pruned(files: Path, *overrides: str) -> Artifact:
    plain = {
        "store": "store",
        "corpus": {"name": "my_reviews.py:reviews"},
        "prune": {"policy": "quantile.py:Quantile"},
        "teachers": [],
        "method": {"name": "finetune"},
    }
    (files / "run.yaml").write_text(json.dumps(plain))
    run = load(files / "run.yaml", overrides)
    context = Context(Store(run.store), InProcess(), None)
    found = with_pruning(run, read(run.corpus, context), [], context).pruned_corpus
    assert found is not None
    return found


def test_a_policy_and_a_corpus_named_in_yaml_decide_what_is_dropped(files: Path) -> None:
    found = pruned(files)
    decisions = pq.read_table(found.file("decisions.parquet")).to_pandas()
    assert set(decisions["text"].str.strip()) > {"We saw it."}
    wanted = float(np.quantile(decisions["importance"], 0.3))
    assert found.summary["policy"] == "Quantile"
    assert Pruner.load(found.file("pruner.json").parent).threshold == pytest.approx(wanted)
    below = decisions["importance"] < wanted
    assert below.any()
    assert not decisions["kept"][below & (decisions["reason"] == "below threshold")].any()
    assert decisions["kept"][~below].all()
    assert found.name == "own-reviews-Quantile"


def test_the_digest_holds_the_policys_source_and_settings_but_not_its_folder(files: Path) -> None:
    first = pruned(files)
    assert pruned(files).digest == first.digest
    assert pruned(files, "prune.policy.share=0.2").digest != first.digest
    (files / "elsewhere").mkdir()
    (files / "elsewhere" / "quantile.py").write_text(POLICY)
    assert pruned(files, "prune.policy=elsewhere/quantile.py:Quantile").digest == first.digest
    (files / "quantile.py").write_text(POLICY + "# changed\n")
    assert pruned(files).digest != first.digest


def test_a_saved_pruner_works_without_the_file(files: Path) -> None:
    folder = pruned(files, "prune.policy.share=0.5").file("pruner.json").parent
    code = "import sys; from kdray.pruning import Pruner; print(Pruner.load(sys.argv[1]).prune([sys.argv[2]]))"
    text = "Film 3 was bad. We saw it."
    (files / "quantile.py").unlink()
    here = Pruner.load(folder)
    done = subprocess.run([sys.executable, "-c", code, str(folder), text], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(here.prune([text]))
    assert here.prune([text]) != [text]
    with pytest.raises(ConfigError, match="cannot be fitted again"):
        here.settings.policy.threshold(np.zeros(3))


def test_a_worker_without_the_files_reads_the_same_settings(files: Path) -> None:
    run = parse({"corpus": {"name": "my_reviews.py:reviews"}, "prune": {"policy": "quantile.py:Quantile"}}, source="t")
    (files / "message.json").write_text(json.dumps(sendable(run)))
    for name in ("quantile.py", "my_reviews.py"):
        (files / name).unlink()
    worker = """
import json
from kdray.config import parse
from kdray.experiments.students import SOURCES
from kdray.origin import Source, define
message = json.load(open("message.json"))
define(Source.model_validate(each) for each in message.pop(SOURCES))
print(parse(message, source="t").prune.policy.name)
"""
    done = subprocess.run([sys.executable, "-c", worker], cwd=files, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == run.prune.policy.name


def test_the_corpus_is_read_by_the_settings_of_its_decorator(files: Path, tiny_encoder: Path) -> None:
    data = kd.Dataset.load("my_reviews.py:reviews")
    student = kd.distill(None, data, student=kd.Encoder(str(tiny_encoder), layers=1), train=tiny.training(1))
    assert student.result["metric"] == "macro_f1"
    assert set(student.predict(["Film 2 was bad. We saw it."])) <= {"bad", "good"}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("def reviews():\n    return {}", "it has no decorator @kdray.corpora.corpus in my_reviews.py"),
        ("", "there is no such function in my_reviews.py"),
        ("@corpus(labels=['a'])\ndef reviews():\n    return {}", "labels: two or more class names, found 1"),
        (
            "@TWO\ndef reviews():\n    return {'train': []}",
            "returned the splits train; train and",
        ),
        ("@TWO\ndef reviews():\n    return {'train': [], 'test': []}", "train has no rows"),
        (
            "@TWO\ndef reviews():\n    return {'train': [1], 'test': [1]}",
            "train is no table of rows",
        ),
        (
            "@TWO\ndef reviews():\n    rows = [{'text': 't', 'label': 'c'}]\n    return {'train': rows, 'test': rows}",
            "my_reviews.py:reviews, train, position 0",
        ),
        ("@TWO\ndef reviews():\n    pass", r"^corpus my_reviews.py:reviews returned NoneType; expected a mapping with"),
        ("@TWO\ndef reviews():\n    return {}", r"^corpus my_reviews.py:reviews returned no splits; train and test"),
        (
            "@TWO\ndef reviews(path):\n    return {}",
            r"^corpus my_reviews.py:reviews: it raised TypeError: reviews\(\) missing 1 required positional argument",
        ),
        (
            "@TWO\ndef reviews():\n    return 1 / 0",
            r"^corpus my_reviews.py:reviews: it raised ZeroDivisionError: division by zero \(line 5\)\.$",
        ),
        (
            "import sys\n@TWO\ndef reviews():\n    sys.exit(0)",
            r"^corpus my_reviews.py:reviews: it raised SystemExit: 0 \(line 6\)\.$",
        ),
        (
            "@TWO\ndef reviews():\n    rows = [{'text': 't', 'label': 'a'}]\n"
            "    return {'train': rows, 'test': rows, 'dev': rows}",
            "returned the split 'dev'; allowed are train, validation, test; rename it or remove it",
        ),
    ],
)
def test_what_is_no_corpus_ends_in_one_sentence(files: Path, body: str, sentence: str) -> None:
    (files / "my_reviews.py").write_text(f"from kdray.corpora import corpus\nTWO = corpus(labels=['a', 'b'])\n{body}\n")
    settings: Any = parse({"corpus": {"name": "my_reviews.py:reviews"}}, source="test").corpus
    with pytest.raises(ConfigError, match=sentence) as error:
        read(settings, Context(Store("store"), InProcess(), None))
    assert "\n" not in str(error.value)


def test_what_is_no_policy_ends_in_one_sentence(files: Path) -> None:
    for name, sentence in (
        ("quantile.py:Other", "this class does not exist in quantile.py"),
        ("quantile.py:np", "it is not a subclass of PruningPolicy"),
        ("none.py:Other", "prune.policy.name: file none.py cannot be read"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            parse({"prune": {"policy": name}}, source="test")
    with pytest.raises(ConfigError, match="shaer"):
        parse({"prune": {"policy": {"name": "quantile.py:Quantile", "shaer": 0.1}}}, source="test")


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (
            "def threshold(self, i):\n        return float('nan')",
            r"Odd: threshold returned nan \(float\); expected one finite",
        ),
        (
            "def threshold(self, i):\n        return '0.3'",
            r"Odd: threshold returned '0.3' \(str\); expected one finite number",
        ),
        (
            "def threshold(self, i):\n        return i",
            r"Odd: threshold returned an array of shape \(\d+,\) and type float64",
        ),
        (
            "def threshold(self, i):\n        return None",
            r"Odd: threshold returned NoneType; expected one finite number",
        ),
        (
            "def threshold(self, i):\n        1 / 0",
            r"odd.py:Odd: it raised ZeroDivisionError: division by zero \(line 4\)",
        ),
        ("def x(self):\n        pass", r"odd.py:Odd: it raised NotImplementedError: Odd has no threshold"),
        (
            "def threshold(self, i):\n        return 0.1\n    def drop(self, i):\n        return [True]",
            r"Odd: drop returned list; expected a numpy array of \d+ booleans",
        ),
        (
            "def threshold(self, i):\n        return 0.1\n    def drop(self, i):\n        return i",
            r"Odd: drop returned an array of shape \(\d+,\) and type float64; expected a numpy array of \d+ booleans",
        ),
    ],
)
def test_a_policy_that_is_wrong_ends_in_one_sentence(files: Path, body: str, sentence: str) -> None:
    (files / "odd.py").write_text(f"from kdray.pruning import PruningPolicy\nclass Odd(PruningPolicy):\n    {body}\n")
    with pytest.raises(ConfigError, match=rf"^policy {sentence}"):
        pruned(files, "prune.policy=odd.py:Odd")
