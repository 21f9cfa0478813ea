"""The effect of pruning: both readings of S0's table, each counted again here, and times that fit the tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny

from kdray.config import parse
from kdray.errors import ConfigError
from kdray.pruning import Pruner, PruneSettings, fit
from kdray.pruning.units import row_units
from kdray.stages import Context, InProcess, distill, prepare
from kdray.stages.corpus import load_stored
from kdray.stages.effect import pruning_effect
from kdray.stages.train_stage import result_of
from kdray.store import Store

WORDS = ("good", "bad", "film", "the", "was", "very", "and", "it")


def films(count: int, seed: int) -> pa.Table:
    draw = np.random.default_rng(seed)
    sentences = lambda: " ".join(draw.choice(WORDS, draw.integers(2, 9)).tolist()).capitalize() + ". "  # noqa: E731
    texts = ["".join(sentences() for _ in range(draw.integers(1, 5))) for _ in range(count)]
    return pa.table({"text": texts, "label": [i % 2 for i in range(count)]})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for number, (split, count) in enumerate({"train": 80, "validation": 20, "test": 60}.items()):
        pq.write_table(films(count, number), folder / f"{split}.parquet")
    return folder


def effect(corpus: Path, encoder: Path, folder: Path, **prune: Any) -> Any:
    run = tiny.run_config(
        encoder,
        corpus,
        corpus={"name": "folder", "path": str(corpus), "labels": ["bad", "good"]},
        prune={"policy": "lower_tail", "embedders": str(encoder)} | prune,
        teachers=[],
        outputs={},
        method={"name": "finetune"},
        train=tiny.training(1, max_length=64),
    )
    context = Context(Store(str(folder)), InProcess(), None)
    prepared = prepare(run, context)
    student = distill(run, prepared, context)
    return prepared, student, pruning_effect(run, prepared, student, context)


def test_effect_scores_pruned_texts_and_kept_rows(corpus: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    prepared, student, (scores, times) = effect(corpus, tiny_encoder, tmp_path)
    by_policy = {row["policy"]: row for row in scores}
    assert list(by_policy) == ["lower_tail", "literal", "literal_centers", "bottom_quintile"]
    assert [row["policy"] for row in times] == list(by_policy)
    mine, result = by_policy["lower_tail"], result_of(student)
    # the student was scored on the shortened test split when it was trained: the same statistics, the same texts
    assert mine["accuracy"] == pytest.approx(result["metrics"]["test"]["accuracy"])
    assert mine["macro F1"] == pytest.approx(result["metrics"]["test"]["macro_f1"])
    test = load_stored(prepared.corpus).table("test")
    decided = Pruner.load(prepared.pruned_corpus.folder).prune(test["text"].to_pylist())
    assert decided == load_stored(prepared.pruned_corpus).table("test")["text"].to_pylist()
    assert 0 < mine["pruned"] < by_policy["literal"]["pruned"] < 1
    # whole rows, by statistics of the split itself and without a graph
    settings = PruneSettings(policy="bottom_quintile", level="row", fit_on="split")  # pyright: ignore
    kept = fit(row_units(test, ["text"]), [], settings, level="row").decisions["kept"].to_pylist()
    assert by_policy["bottom_quintile"]["rows kept"] == pytest.approx(sum(kept) / len(kept))
    assert by_policy["literal_centers"]["rows kept"] > by_policy["literal"]["rows kept"]


def test_the_runs_own_row_is_of_its_own_settings(corpus: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    prepared, student, (scores, _) = effect(corpus, tiny_encoder, tmp_path, max_prune_rate=0.1, keep_medoids="none")
    (mine,) = [row for row in scores if row["policy"] == "lower_tail"]
    decided = Pruner.load(prepared.pruned_corpus.folder)
    assert decided.settings.max_prune_rate == 0.1
    _, _, (others, _) = effect(corpus, tiny_encoder, tmp_path)
    (usual,) = [row for row in others if row["policy"] == "lower_tail"]
    assert 0 < mine["pruned"] < usual["pruned"]
    assert mine["accuracy"] == pytest.approx(result_of(student)["metrics"]["test"]["accuracy"])
    test = row_units(load_stored(prepared.corpus).table("test"), ["text"])
    settings = PruneSettings(policy="lower_tail", max_prune_rate=0.1, keep_medoids="none", level="row", fit_on="split")  # pyright: ignore
    kept = fit(test, [], settings, level="row").decisions["kept"].to_pylist()
    assert mine["rows kept"] == pytest.approx(sum(kept) / len(kept))


def test_the_bound_is_the_ratio_of_tokens(corpus: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    _, _, (scores, times) = effect(
        corpus, tiny_encoder, tmp_path, policy={"name": "match_rate", "rate": 0.4}, keep_medoids="none"
    )
    assert "literal_centers" in {row["policy"] for row in scores}
    assert (
        next(row for row in scores if row["policy"] == "literal_centers").get("rows kept") is None
    )  # no graph was made
    bounds = {row["policy"]: row["bound"] for row in times}
    assert 1 < bounds["match_rate"] < bounds["literal"]
    assert all(row["all ms"] > row["forward ms"] > 0 for row in times)


def test_without_pruning_there_is_no_effect(tmp_path: Path) -> None:
    context, nothing = Context(Store(str(tmp_path)), InProcess(), None), Any
    with pytest.raises(ConfigError, match="there is no pruning"):
        pruning_effect(parse({"prune": {"policy": "none"}}, source="test"), nothing, nothing, context)  # pyright: ignore
