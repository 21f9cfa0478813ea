"""Stage `outputs`: the outputs of one teacher (or assistant) for every row, computed once."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kdray import metrics
from kdray.corpora import StoredCorpus
from kdray.distillation import Ref, TeacherRef
from kdray.engines import InProcess
from kdray.errors import ConfigError
from kdray.models import architecture_at, folder_info
from kdray.origin import Source, define, shown, sources_of
from kdray.signals import OUTPUT_KINDS, PREDICTED, Outputs, OutputsWriter
from kdray.stages.context import Context
from kdray.stages.corpus import load_stored
from kdray.stages.resumable_map import longest_first, map_resumable, split_rows
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Draft, Store, digest_of
from kdray.tasks import baseline, get_task, score_all
from kdray.teachers import (
    FLOOR,
    SMOOTHING,
    GivenLogits,
    MCDropoutInference,
    TeacherInference,
    check_quality,
    digest_of_file,
    no_model,
    read_predictions,
)

log = logging.getLogger(__name__)


def outputs(teacher: Artifact, corpus: Artifact, context: Context, *, name: str, quality_check: bool) -> TeacherRef:
    """Logits, [CLS] of every layer and sentence embeddings of all splits; and their teacher.

    Raises:
        ConfigError: The teacher is no better than the majority class (unless `quality_check` is off).
    """
    stored = load_stored(corpus)
    whole = folder_info(teacher.file("model"), name)
    kinds = [kind for kind in OUTPUT_KINDS if whole.gives is None or kind in whole.gives]
    labels: list[str] = result_of(teacher)["spec"]["labels"]
    artifact = _cache_outputs(
        teacher,
        corpus,
        context,
        name=name,
        artifact=f"{stored.task.name}-{name}",
        title=f"outputs {stored.task.name}/{name}",
        kinds=kinds,
        splits=stored.splits,
        settings={"quality_check": quality_check},
        inference=partial(load_teacher, kinds=kinds),
        check=partial(_check_quality, name, stored, labels) if quality_check else None,
    )
    known = None if tuple(labels) == stored.task.labels else tuple(map(stored.task.labels.index, labels))
    return TeacherRef(info=replace(whole, known=known), model=Ref.to(teacher), outputs=Ref.to(artifact))


def given_outputs(
    name: str, file: Path, corpus: Artifact, context: Context, *, quality_check: bool, is_part: bool
) -> TeacherRef:
    """Predictions from a file as the logits of a teacher without a model; and `scores.json`, what they are worth.

    Args:
        is_part: The corpus is a part of what it was made from, so the file may name rows that it lacks.

    Raises:
        ConfigError: The file cannot be used, or its predictions are no better than the majority class (unless
            `quality_check` is off).
    """
    stored = load_stored(corpus)
    fields, labels = [field.name for field in stored.task.fields], stored.task.labels

    def build(draft: Draft) -> dict[str, Any]:
        tables = {split: stored.table(split) for split in stored.splits}
        given = read_predictions(file, tables, fields=fields, labels=labels, is_part=is_part)
        for split, each in given.items():
            ids = tables[split]["id"].to_pylist()
            writer = OutputsWriter(draft.folder, split, ids, {"logits": (len(labels),)})
            writer.write(ids, {"logits": each.logits})
            writer.finish()
            np.save(draft.folder / f"{split}{PREDICTED}", each.predicted)
        if quality_check:
            _check_given(name, stored, given)
        scores = _scores_of_given(stored, given)
        draft.file("scores.json").write_text(json.dumps(scores, indent=1) + "\n")
        rows = ", ".join(f"{split} {each['predicted']:,} of {each['rows']:,}" for split, each in scores["rows"].items())
        whole = [split for split, each in scores["rows"].items() if each["predicted"] == each["rows"]]
        shown = {split: scores["metrics"][split][scores["metric"]] for split in whole if split in scores["metrics"]}
        return {"predictions": rows, "kinds": "logits", "metric": scores["metric"], "scores": shown}

    made = context.make(
        "outputs",
        f"{stored.task.name}-{name}",
        settings={"kinds": ["logits"], "quality_check": quality_check, "smoothing": SMOOTHING, "floor": FLOOR},
        inputs={"predictions": digest_of_file(file), "corpus": corpus.digest},
        build=build,
    )
    return TeacherRef(info=no_model(name, labels), model=None, outputs=Ref.to(made))


def given_scores(outputs: Artifact) -> dict[str, Any]:
    """Of predictions from a file: `metric`; `metrics` on the gold labels of the rows with a prediction, by split;
    `majority`, of all rows, by scored split; and `rows` (`rows`, `predicted`) by split."""
    return json.loads(outputs.file("scores.json").read_text())


def outputs_on_view(teacher: TeacherRef, pruned_corpus: Artifact, context: Context) -> TeacherRef:
    """The same teacher with its outputs for the pruned texts of `pruned_corpus`."""
    return outputs(
        teacher.trained.open(context.store), pruned_corpus, context, name=teacher.info.name, quality_check=False
    )


def mc_dropout_outputs(teacher: TeacherRef, corpus: Artifact, context: Context, *, passes: int) -> TeacherRef:
    """The same teacher with its mean probabilities over `passes` passes with dropout, on the train split."""
    task = load_stored(corpus).task.name
    artifact = _cache_outputs(
        teacher.trained.open(context.store),
        corpus,
        context,
        name=teacher.info.name,
        artifact=f"{task}-{teacher.info.name}-dropout",
        title=f"dropout outputs {task}/{teacher.info.name}",
        kinds=["mc_probs"],
        splits=["train"],
        settings={"passes": passes},
        inference=partial(load_teacher, kind=MCDropoutInference, passes=passes),
    )
    return teacher.model_copy(update={"dropout_outputs": Ref.to(artifact)})


def _cache_outputs(
    teacher: Artifact,
    corpus: Artifact,
    context: Context,
    *,
    name: str,
    artifact: str,
    title: str,
    kinds: Sequence[str],
    splits: Sequence[str],
    settings: dict[str, Any],
    inference: Callable[..., TeacherInference],
    check: Callable[[Path], Mapping[str, float]] | None = None,
) -> Artifact:
    """Outputs of a teacher for some splits, in parts that survive a kill; `check` may refuse them."""
    stored, spec = load_stored(corpus), result_of(teacher)["spec"]
    reading = {"max_length": spec["train"]["max_length"], "precision": spec["train"]["precision"]}
    fields = [field.name for field in stored.task.fields]
    architecture = architecture_at(teacher.file("model"))
    sources = () if isinstance(context.engine, InProcess) else tuple(sources_of([architecture]))
    where = {"sources": sources, "name": name, "labels": spec["labels"], "fields": fields}
    loader = partial(inference, context.store.uri, Ref.to(teacher), **where, **reading)
    settings = {"kinds": list(kinds), **settings, **reading}
    inputs = {"teacher": teacher.digest, "corpus": corpus.digest}
    work = context.store.work(digest_of("outputs", settings=settings, inputs=inputs))

    def build(draft: Draft) -> dict[str, Any]:
        shapes = folder_info(teacher.file("model")).shapes(kinds)
        tables = {split: stored.table(split) for split in splits}
        joined = _joined(tables)
        rows = joined.take(longest_first([joined[field] for field in fields]))
        words = {split: _words(table, fields) for split, table in tables.items()}
        with metrics.tagged(task=stored.task.name):
            predicted = map_resumable(split_rows(rows), loader, context, work, "rows", title=title)
            _write(tables, predicted, shapes, draft.folder, words)
        checked = check(draft.folder) if check else {}
        return {"rows": len(rows), "kinds": ", ".join(kinds)} | {k: round(v, 4) for k, v in checked.items()}

    made = context.make("outputs", artifact, settings=settings, inputs=inputs, build=build)
    work.clear()
    return made


def load_teacher(
    store: str,
    teacher: Ref,
    *,
    kind: type[TeacherInference] = TeacherInference,
    sources: Sequence[Source] = (),
    **settings: Any,
) -> TeacherInference:
    """A loaded teacher, on the node that calls this; `sources` are those of its architecture."""
    define(sources)
    return kind(teacher.open(Store(store)).file("model"), **settings)


def _joined(tables: Mapping[str, pa.Table]) -> pa.Table:
    """All splits in one pass, so that the teacher is loaded once."""
    return pa.concat_tables(list(tables.values()))


def _write(
    tables: Mapping[str, pa.Table],
    predicted: Iterable[pa.Table],
    shapes: dict[str, tuple[int, ...]],
    folder: Path,
    words: Mapping[str, np.ndarray | None],
) -> None:
    """Write each row to the split of its id."""
    home = {row: split for split, table in tables.items() for row in table["id"].to_pylist()}
    writers = {
        split: OutputsWriter(folder, split, table["id"].to_pylist(), shapes, words=words[split])
        for split, table in tables.items()
    }
    for part in predicted:
        splits = np.array([home[row] for row in part["id"].to_pylist()])
        for split in set(splits.tolist()):
            rows = part.filter(pa.array(splits == split))
            values = {kind: _matrix(rows[kind]) for kind in shapes}
            writers[split].write(rows["id"].to_pylist(), values)
    for writer in writers.values():
        writer.finish()


def _words(table: pa.Table, fields: Sequence[str]) -> np.ndarray | None:
    """How many words each row has; None for texts."""
    return pc.list_value_length(table[fields[0]]).to_numpy() if pa.types.is_list(table[fields[0]].type) else None


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    whole = column.combine_chunks()
    flat = whole.flatten().to_numpy(zero_copy_only=False)
    return flat if pa.types.is_list(whole.type) else flat.reshape(len(whole), -1)


def _check_quality(name: str, stored: StoredCorpus, labels: Sequence[str], folder: Path) -> dict[str, float]:
    cached = Outputs(folder, "validation")
    logits = cached.at(np.arange(len(cached)), frozenset()).logits.numpy()
    task, targets = get_task(stored.task.kind), stored.labels("validation")
    if task.target == "class":
        targets = _own_classes(targets, stored, labels)
    return check_quality(
        name, metric=stored.task.metrics[0], logits=logits, labels=targets, split="validation", task=task
    )


def _gold(stored: StoredCorpus, given: Mapping[str, GivenLogits], split: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets and logits of the rows that have a label and a prediction."""
    targets = stored.labels(split)
    rows = given[split].predicted & get_task(stored.task.kind).labeled(targets)
    return targets[rows], given[split].logits[rows]


def _check_given(name: str, stored: StoredCorpus, given: Mapping[str, GivenLogits]) -> None:
    """On validation; on train if the file has no prediction there."""
    for split in ("validation", "train"):
        targets, logits = _gold(stored, given, split)
        if len(targets):
            task = get_task(stored.task.kind)
            check_quality(name, metric=stored.task.metrics[0], logits=logits, labels=targets, split=split, task=task)
            return
    log.warning("teacher %s is not checked: no row has both a label and a prediction", name)


def _scores_of_given(stored: StoredCorpus, given: Mapping[str, GivenLogits]) -> dict[str, Any]:
    task, metric = get_task(stored.task.kind), stored.task.metrics[0]
    scores: dict[str, dict[str, float]] = {}
    for split in stored.splits:
        with suppress(ConfigError):  # no such row, or a metric that is undefined for so few
            scores[split] = score_all(stored.task.metrics, *_gold(stored, given, split), task)
    return {
        "metric": shown(metric),
        "metrics": scores,
        "majority": {
            split: baseline(metric, stored.labels(split), outputs=len(stored.task.labels), task=task)
            for split in stored.scored
        },
        "rows": {
            split: {"rows": len(each.predicted), "predicted": int(each.predicted.sum())}
            for split, each in given.items()
        },
    }


def _own_classes(targets: np.ndarray, stored: StoredCorpus, labels: Sequence[str]) -> np.ndarray:
    """Counted as the teacher does; rows of classes that it does not score count as unlabeled."""
    number = {stored.task.labels.index(label): i for i, label in enumerate(labels)}
    return np.array([number.get(int(label), -1) for label in targets])
