"""A metric from one file outside the package decides a run: teacher check, epoch that is kept, result and report."""

import sys

import pages
import pytest
import tiny

from kdray.config import parse
from kdray.stages import Context, InProcess, distill, prepare, read
from kdray.stages.train_stage import result_of
from kdray.store import Store

OWN = pages.code_with(pages.ROOT / "docs/extending.md", "def doubt")


@pytest.fixture
def run_of(tmp_path, tiny_encoder, monkeypatch):
    corpus = tiny.save_opinions(tmp_path / "opinions", train=80, test=24)
    (tmp_path / "doubtful.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    fitting = {"batch_size": 8, "learning_rate": 3e-3, "max_length": 32, "precision": "fp32"}

    def made(*metrics: str):
        own = {"name": "folder", "path": str(corpus), "labels": ["negative", "positive"], "metrics": metrics}
        settings = {
            "corpus": own,
            "prune": {"policy": "none"},
            "teachers": [{"name": "one", "encoder": str(tiny_encoder), "train": fitting | {"epochs": 6}}],
            "student": {"encoder": str(tiny_encoder), "layers": 1},
            "train": fitting | {"epochs": 4},
        }
        return parse(settings, source="test")

    yield made
    sys.modules.pop("doubtful", None)


def test_a_run_by_a_metric_of_ones_own(run_of, tmp_path):
    run, store = run_of("doubtful:doubt"), Store(str(tmp_path / "store"))
    context = Context(store, InProcess(), data_dir=None)
    result = result_of(distill(run, prepare(run, context), context))
    scores = [epoch["score"] for epoch in result["history"]]
    assert len(set(scores)) == 4
    assert result["best_epoch"] == 1 + scores.index(min(scores)) != 1 + scores.index(max(scores))
    assert (result["metric"], result["higher_is_better"]) == ("doubtful:doubt", False)
    assert result["majority"]["test"] == pytest.approx(0.5)
    assert len({artifact.digest for artifact in store.artifacts("corpus")}) == 1
    read(run_of("accuracy").corpus, context)  # another metric is another corpus artifact: models are selected on it
    assert len({artifact.digest for artifact in store.artifacts("corpus")}) == 2
