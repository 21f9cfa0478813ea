"""A metric and a task from a file: by name, with the whole source in digests, on workers that do not have the file."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pages
import pandas as pd
import pytest
import tiny

import kdray as kd
from kdray.config import RunConfig, parse
from kdray.corpora import CorpusSettings, load_corpus
from kdray.distillation import FitSpec
from kdray.errors import ConfigError
from kdray.experiments.students import Shared, sendable
from kdray.origin import full_name, identity_of, object_of, sources_of
from kdray.serve.loading import open_scorer
from kdray.stages import Context, InProcess, distill, prepare, read
from kdray.stages.train_stage import result_of
from kdray.store import Store
from kdray.tasks import get_task, score_one

HELPER = """

def of(value):
    return value
"""
OWN_METRICS = """

from kdray.tasks import metric


@metric(needs="values", targets=("value",), higher_is_better=False)
def worst(targets, values):
    return float(abs(targets - values).max())


@metric(needs="values", targets=("value",), higher_is_better=False)
def off(targets, values):
    return float((targets != values.round()).mean())
"""
PAGE = pages.ROOT / "docs/extending.md"
DOUBT = pages.code_with(PAGE, "def doubt").replace("1 - float(", "of(1.0) - float(") + HELPER
_OF_TASK = 'always = ("counting.py:worst",), ("mse", "counting.py:off")'
COUNTS = pages.code_with(PAGE, "class Counts").replace('always = ("mse",), ("mse", "spearman")', _OF_TASK) + OWN_METRICS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "doubtful.py").write_text(DOUBT)
    (tmp_path / "counting.py").write_text(COUNTS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_of(folder: Path, encoder: Path, corpus: dict[str, Any]) -> RunConfig:
    fitting = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
    settings = {
        "store": str(folder / "store"),
        "corpus": corpus,
        "prune": {"policy": "none"},
        "teachers": [{"encoder": str(encoder), "train": fitting}],
        "outputs": {"quality_check": False},
        "student": {"encoder": str(encoder), "layers": 1},
        "method": {"name": "finetune"},
        "train": fitting,
    }
    return parse(settings, source="test")


def by_doubt(folder: Path, encoder: Path) -> RunConfig:
    path = folder / "opinions"
    if not path.exists():
        tiny.save_opinions(path, train=80, test=24)
    labels = ["negative", "positive"]
    own = {"name": "folder", "path": str(path), "labels": labels, "metrics": ["doubtful.py:doubt", "accuracy"]}
    return run_of(folder, encoder, own)


def of_counts(folder: Path, encoder: Path) -> RunConfig:
    path = folder / "counts"
    if not path.exists():
        path.mkdir()
        for split, rows in (("train", 48), ("test", 24)):
            lines = [
                f'{{"text": "{" ".join(["good"] * (n % 4) + ["film"])}", "label": {n % 4}}}\n' for n in range(rows)
            ]
            (path / f"{split}.jsonl").write_text("".join(lines))
    own = {"name": "folder", "path": str(path), "task": "counting.py:COUNTS", "validation_fraction": 0.25}
    return run_of(folder, encoder, own)


def test_a_file_is_named_with_the_hash_of_its_whole_source(here: Path) -> None:
    name = full_name("doubtful.py:doubt", "metric")
    assert name.startswith("doubtful.py:doubt@")
    assert full_name("accuracy", "metric") == identity_of("accuracy") == "accuracy"
    assert CorpusSettings(name="rte", metrics=("doubtful.py:doubt",)).metrics == (name,)
    (here / "doubtful.py").write_text(DOUBT.replace("return value", "return value + 1.0"))  # the helper alone
    changed = full_name("doubtful.py:doubt", "metric")
    assert changed != name
    targets, logits = np.array([0, 1]), np.log(np.full((2, 2), 0.5))
    assert [score_one(each, targets, logits) for each in (name, changed)] == pytest.approx([0.5, 1.5])


def test_a_module_and_its_file_are_one_source(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "doubt_named.py").write_text(f"# named in two ways\n{DOUBT}")
    names = [full_name(f"doubt_named{ending}:doubt", "metric") for ending in ("", ".py")]
    assert names[0] != names[1]
    assert identity_of(names[0]) == identity_of(names[1])


def test_a_module_whose_file_changed_after_its_import_is_refused(here: Path) -> None:
    for file, name in (("doubt_changed", "doubt"), ("counts_changed", "COUNTS")):
        text = DOUBT if name == "doubt" else COUNTS
        (here / f"{file}.py").write_text(f"# {file}\n{text}")
        full = full_name(f"{file}:{name}", "metric")
        (here / f"{file}.py").write_text(f"# changed\n{text}")
        with pytest.raises(ConfigError, match=rf"{file}:{name}': its source has changed since it was imported; start"):
            object_of(f"{file}:{name}", "metric")
        with pytest.raises(ConfigError, match=r"its source has changed since it was imported; start the program again"):
            sources_of([full])
        sys.modules.pop(file)
        importlib.invalidate_caches()
        assert full_name(f"{file}:{name}", "metric") != full


def test_a_file_that_imports_a_file_beside_it_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(here)
    (here / "beside.py").write_text("W = 1\n")
    for file, text, get in (("doubtful", DOUBT, "doubt"), ("counting", COUNTS, "COUNTS")):
        (here / f"{file}.py").write_text(f"import beside\n{text}")
        with pytest.raises(ConfigError, match=rf"'{file}\.py:{get}': its file imports beside\.py, a file of"):
            full_name(f"{file}.py:{get}", "metric")


def test_a_name_with_the_hash_of_another_source_is_refused(here: Path) -> None:
    sentence = (
        r"^task = 'counting\.py:COUNTS@0123456789abcdef': the source of counting\.py is another one now; restore it"
    )
    with pytest.raises(ConfigError, match=sentence):
        get_task("counting.py:COUNTS@0123456789abcdef")


def test_settings_name_the_key_of_a_file_that_is_missing(here: Path, tiny_encoder: Path) -> None:
    (here / "doubtful.py").unlink()
    with pytest.raises(ConfigError, match=r"^test: corpus\.metrics: metric: file doubtful\.py cannot be read in"):
        by_doubt(here, tiny_encoder)


def test_a_task_that_raises_ends_in_a_sentence_with_its_line(here: Path, tiny_encoder: Path) -> None:
    for member in ("read", "predictions", "hard_rows"):
        text = COUNTS.replace(
            f"def {member}(self",
            f"def {member}(self, *given):\n        raise KeyError('boom')\n    def old_{member}(self",
        )
        (here / "counting.py").write_text(f"# {member}\n{text}")
        run, context = of_counts(here, tiny_encoder), Context(Store(str(here / "store")), InProcess(), None)
        with pytest.raises(ConfigError, match=r"^task counts: it raised KeyError: 'boom' \(line \d+\)\.$"):
            distill(run, prepare(run, context), context)


class Sending(InProcess):
    """An engine that keeps what another process would be sent."""

    messages: ClassVar[list[dict[str, Any]]] = []

    def fit(self, spec: FitSpec) -> None:
        self.messages.append(spec.message())
        super().fit(spec)


WORKER = """
import json, sys
from kdray.distillation import FitSpec
from kdray.experiments.students import Shared, distill_one
from kdray.stages.train_stage import result_of
for sent in json.loads(open(sys.argv[1]).read()):
    spec, shared = FitSpec.of_message(sent["message"]), Shared.model_validate(sent["shared"])
    result = result_of(distill_one(sent["run"], shared, lambda epoch: None, stage="elsewhere"))
    print(json.dumps([spec.outside, result["metrics"]]))
"""


def test_a_worker_without_the_files_has_the_scores_of_this_process(here: Path, tiny_encoder: Path) -> None:
    context, sent, found = Context(Store(str(here / "store")), Sending(), None), list[Any](), list[Any]()
    for of, *own in ((by_doubt, "doubtful.py:doubt"), (of_counts, "counting.py:worst", "counting.py:off")):
        Sending.messages.clear()
        prepared = prepare(run := of(here, tiny_encoder), context)
        result = result_of(distill(run, prepared, context))
        assert (result["metric"], result["higher_is_better"]) == (own[0], False)
        assert set(own) < set(result["metrics"]["test"])
        shared = Shared.of(prepared).model_dump(mode="json")
        sent.append({"message": Sending.messages[0], "shared": shared, "run": sendable(run)})
        found.append([list(load_corpus(prepared.corpus.folder).task.outside), result["metrics"]])

    (elsewhere := here / "elsewhere").mkdir()
    (elsewhere / "sent.json").write_text(json.dumps(sent))
    for name in ("doubtful.py", "counting.py"):
        (here / name).unlink()
        (elsewhere / name).write_text("raise RuntimeError('the file of the worker was read')\n")
    command = [sys.executable, "-c", WORKER, "sent.json"]
    done = subprocess.run(command, cwd=elsewhere, check=True, capture_output=True, text=True)
    assert [json.loads(line) for line in done.stdout.splitlines()] == found


def test_python_reads_and_predicts_by_a_task_of_a_file(here: Path, tiny_encoder: Path) -> None:
    texts = [f"{'good ' * (n % 4)}film" for n in range(60)]
    rows = pd.DataFrame({"text": texts, "label": [n % 4 for n in range(60)]})
    data = kd.Dataset.from_pandas(rows[:40], test=rows[40:], task="counting.py:COUNTS")
    assert "labels" not in data.options
    fit = {"epochs": 2, "batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}
    how: dict[str, Any] = {
        "student": kd.Encoder(str(tiny_encoder), layers=1),
        "method": kd.methods.FineTune(),
        "train": fit,
    }
    found = kd.distill(None, data, store=str(here / "store"), **how)
    predicted = found.predict(texts[40:])
    errors = [abs(one - other) for one, other in zip(predicted, rows["label"][40:], strict=True)]
    assert min(predicted) > 0  # counts, which the logits are the logarithms of
    assert found.evaluate()["counting.py:worst"] == pytest.approx(max(errors), rel=1e-4)
    scorer = open_scorer(found.save(here / "saved"))
    assert scorer.predictions(scorer.score([(text,) for text in texts[40:]]).values) == pytest.approx(predicted)


def test_another_source_is_another_corpus_artifact(here: Path, tiny_encoder: Path) -> None:
    context = Context(Store(str(here / "store")), InProcess(), None)
    for of, file, text in ((by_doubt, "doubtful.py", DOUBT), (of_counts, "counting.py", COUNTS)):
        digests = list[str]()
        for more in ("", "# another source\n", ""):
            (here / file).write_text(text + more)
            digests.append(read(of(here, tiny_encoder).corpus, context).digest)
        assert digests[0] == digests[2] != digests[1]


def test_a_sweep_does_not_go_on_with_another_source_of_its_metric(here: Path, tiny_encoder: Path) -> None:
    bases = list[Any]()
    for more in ("", "# another source\n"):
        (here / "doubtful.py").write_text(DOUBT + more)
        bases.append(by_doubt(here, tiny_encoder).model_dump(mode="json"))
    assert bases[0] != bases[1]  # what `kdray.experiments.search` compares
