"""The job that a worker runs: everything from a `FitSpec` to a saved, scored model. The same code trains teachers."""

import json
import logging
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import transformers

import kdray
from kdray import metrics
from kdray.corpora import TEST, TRAIN, VALIDATION, StoredCorpus, choose, encode, load_corpus
from kdray.distillation.build import build_model, build_together
from kdray.distillation.card import model_card
from kdray.distillation.spec import FitSpec, TeacherRef
from kdray.errors import ConfigError, plural
from kdray.evaluate import cost_of, pack_rows, predict
from kdray.log import stopwatch
from kdray.methods import Method, MethodState, PriorOutputs, Reward, TeacherLogits, TeacherStudent
from kdray.models import (
    Fitted,
    Network,
    architecture_of,
    changed_rows,
    check_export,
    check_saves,
    load_classifier,
    load_tokenizer,
    model_info,
    save_classifier,
    trim_vocabulary,
)
from kdray.origin import shown
from kdray.seeds import seed_of
from kdray.store import Store
from kdray.tasks import (
    NO_WORD,
    baseline,
    get_metric,
    get_task,
    metrics_of,
    row_noise,
    score_all,
    score_one,
    scores_by_class,
    split_gap,
)
from kdray.teachers import map_classes, only_classes
from kdray.train import (
    CachedTeacher,
    FitResult,
    Hooks,
    MixedTeacher,
    OnlineTeacher,
    Rows,
    StoreCheckpoints,
    Teacher,
    TrainingData,
    WorldRanks,
    fit,
    fit_at_once,
    read_words,
    word_logits,
)

log = logging.getLogger(__name__)
EVALUATION_ROWS = 64
EXPORT_ROWS = 4  # that an exported model is compared on
SHOWN_VALUES = 64  # of what a method prepared: ensemble weights are shown, whole matrices are not


def run_job(spec: FitSpec, *, ranks: WorldRanks, report: Callable[[dict[str, Any]], None]) -> None:
    """Train, score and save one model; rank 0 leaves the result in the work folder of its artifact.

    Args:
        report: Called after every epoch, on every rank.
    """
    stage, _, _ = spec.title.partition(" ")
    with stopwatch() as whole, metrics.tagged(stage=stage, task=spec.corpus.name, method=spec.method.label):
        TrainingJob(spec, ranks, report).run(whole)


def split_reward_rows(rows: Rows, reward: Reward | None, *, seed: int) -> tuple[Rows, Rows | None]:
    """The rows to train on, and the labeled ones that a reward is measured on, half of these at most, by class: a hash
    of ids and seed decides."""
    if reward is None:
        return rows, None
    labeled = np.flatnonzero(rows.labels.numpy() >= 0)
    wanted = reward.rows if reward.rows >= 1 else reward.rows * len(labeled)
    count = max(1, min(int(wanted + 0.5), len(labeled) // 2))
    ids = [rows.ids[int(row)] for row in labeled]
    strata = rows.labels[labeled].numpy()
    chosen = labeled[choose(ids, strata, count=count, seed=seed, purpose="reward")]
    rest = np.setdiff1d(np.arange(len(rows)), chosen) if reward.held_out else np.arange(len(rows))
    return rows.take(rest), rows.take(chosen)


@dataclass(frozen=True)
class _Scored:
    """What the student gave for a split: its scores, and its logits by row id."""

    metrics: dict[str, float]
    logits: np.ndarray
    ids: Sequence[str]
    words: int = 0
    unread: int = 0


class TrainingJob:
    def __init__(self, spec: FitSpec, ranks: WorldRanks, report: Callable[[dict[str, Any]], None]) -> None:
        self.spec, self.ranks, self.report = spec, ranks, report
        self.store = Store(spec.store)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.method: Method = spec.method
        self.corpus = self._corpus()
        self.pruned_corpus = (
            load_corpus(spec.pruned_corpus.open(self.store).folder) if spec.pruned_corpus else self.corpus
        )
        self.task = get_task(self.corpus.task.kind)
        self.selects_by = self.corpus.task.metrics[0]  # the metric that models are selected on
        self.metric = shown(self.selects_by)
        self._vocabulary: dict[str, int] | None = None
        self._latest: _Scored | None = None  # on validation
        self._selected: dict[int, _Scored | None] = {}  # after each epoch; empty for those before a stop

    def run(self, whole: Any) -> None:
        with stopwatch() as preparing:
            seed = self.spec.train.seed
            model, tokenizer = self._model(seed)
            helper = self.spec.assistant
            teachers = tuple(teacher.info for teacher in self.spec.teachers)
            student = model_info(model, "student", tokenizer)  # the training rows get the same tokens after trimming
            if self.spec.model.vocabulary == "trim":
                tokenizer = self._trimmed(model, tokenizer)
            elif isinstance(architecture := self.spec.model.architecture, Network):
                tokenizer = architecture.begin(model, tokenizer, self._texts(self.pruned_corpus, TRAIN), seed=seed)
            whole_rows = self._rows(tokenizer, self.pruned_corpus, "train")
            train_rows, reward_rows = split_reward_rows(whole_rows, self.method.reward, seed=self.spec.train.seed)
            assistant = helper.info if helper else None
            pair = TeacherStudent(student, teachers, assistant, self.task, rows=len(train_rows))
            self.method.check(pair)
            select_rows = self._rows(tokenizer, self.corpus, "validation")
            prepared = self._prepared(train_rows)
            data = TrainingData(
                rows=train_rows,
                teachers=[self._teacher(teacher, train_rows) for teacher in self.spec.teachers],
                assistant=self._teacher(self.spec.assistant, train_rows) if self.spec.assistant else None,
                prepared=prepared,
                reward_rows=reward_rows,
                task=self.task,
                known=tuple(teacher.info.known for teacher in self.spec.teachers),
                predicted=self._predicted(train_rows),
            )
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed_of(seed, "adapters"))
                adapters = self.method.adapters(pair)
        hooks = Hooks(
            score=lambda student: self._score_epoch(student, select_rows),
            report=self._report,
            checkpoints=StoreCheckpoints(self.store.work(self.spec.digest)),
            title=self.spec.title,
            higher_is_better=get_metric(self.selects_by).higher_is_better,
        )
        how: dict[str, Any] = {"method": self.method, "data": data, "settings": self.spec.train, "hooks": hooks}
        how |= {"ranks": self.ranks, "device": self.device}
        if self.spec.evaluate_only:
            result = _untrained()
        elif isinstance(self.spec.model.architecture, Fitted):
            result = fit_at_once(model, **how)
        else:
            result = fit(model, adapters=adapters, **how)
        if self.ranks.rank == 0:
            self._finish(model, tokenizer, result, prepared, whole, preparing.seconds)

    def _score_epoch(self, model: Any, validation: Rows) -> float:
        self._latest = self._scores(model, validation)
        return self._latest.metrics[self.metric]

    def _report(self, epoch: dict[str, Any]) -> None:
        if self.ranks.rank == 0:
            self._selected[epoch["epoch"]] = self._latest
            for term, value in epoch["terms"].items():
                metrics.show("loss", value, term=term)
            metrics.show("score", epoch["score"])
            if self.device.type == "cuda":
                metrics.show("gpu_memory_bytes", torch.cuda.max_memory_allocated(self.device))
        self.report(epoch)

    def _model(self, seed: int) -> tuple[Any, Any]:
        spec = self.spec
        if not spec.joint_with:
            how: dict[str, Any] = {"labels": spec.labels, "seed": seed, "store": self.store}
            return build_model(spec.model, **how, texts=self._training_texts)
        return build_together((spec.model, *spec.joint_with), labels=spec.labels, seed=seed, store=self.store)

    def _trimmed(self, model: Any, tokenizer: Any) -> Any:
        """Cut the word table of `model`, in place; returns its tokenizer."""
        before = int(model.config.vocab_size)
        trimmed = trim_vocabulary(model, tokenizer, self._training_texts())
        check_saves(model, trimmed, self.spec.title)
        self._vocabulary = {
            "tokens": int(model.config.vocab_size),
            "before": before,
            "validation_rows": len(self.corpus.table(VALIDATION)),
            "validation_rows_changed": changed_rows(tokenizer, trimmed, self._texts(self.corpus, VALIDATION)),
        }
        return trimmed

    def _training_texts(self) -> list[str]:
        """Row by row; lists of tokens as one text."""
        columns: list[list[Any]] = self._texts(self.corpus, TRAIN)
        rows = zip(*columns, strict=True)
        return [each if isinstance(each, str) else " ".join(each) for row in rows for each in row]

    @staticmethod
    def _texts(corpus: StoredCorpus, split: str) -> list[list[str]]:
        table = corpus.table(split)
        return [table[field.name].to_pylist() for field in corpus.task.fields]

    def _finish(
        self, model: Any, tokenizer: Any, result: FitResult, prepared: MethodState, whole: Any, preparing: float
    ) -> None:
        with stopwatch() as evaluating:
            kept = self._selected.get(result.best_epoch)
            scores, agreement, parts, right = self._evaluate(model, tokenizer, kept)
            cost = cost_of(model, device=self.device)
        self._warn_of_gap(scores)
        labels = self.pruned_corpus.labels("train")
        document = {
            "kind": "run",
            "title": self.spec.title,
            "metric": self.metric,
            "higher_is_better": get_metric(self.selects_by).higher_is_better,
            "metrics": scores,
            "agreement": agreement,
            **parts,
            "right": right,
            "best_epoch": result.best_epoch,
            "history": [{**epoch, "standard_error": self._noise(epoch["score"])} for epoch in result.history],
            "weights": self.method.phases(self.spec.train.epochs)[-1].method.weights(),
            "prepared": {name: value.tolist() for name, value in prepared.items() if value.numel() <= SHOWN_VALUES},
            "queries": dict(result.queries),
            "query_ratio": {name: number / max(1, result.units) for name, number in result.queries.items()},
            "rows": {"train": len(labels), "unlabeled": int((~self.task.labeled(labels)).sum()), "seen": result.rows},
            "majority": {split: self._baseline(split) for split in self.corpus.scored},
            "cost": cost.plain(),
            "vocabulary": self._vocabulary,
            "seconds": {
                "total": whole.seconds,
                "prepare": preparing,
                "train": result.seconds,
                "evaluate": evaluating.seconds,
            },
            "rows_per_second": result.rows / max(result.seconds, 1e-9),
            "workers": self.ranks.size,
            "spec": self.spec.model_dump(mode="json", exclude={"store"}),
            "versions": _versions(),
        }
        with tempfile.TemporaryDirectory(prefix="kdray-fit-") as folder:
            model.to("cpu")
            model.config.problem_type = self.task.problem_type
            save_classifier(model, tokenizer, Path(folder) / "model", max_length=self.spec.train.max_length)
            if not self.spec.joint_with:  # several models in one folder are only on their way to folders of their own
                self._check_export(Path(folder) / "model", model, tokenizer)
                (Path(folder) / "model" / "README.md").write_text(model_card(document, architecture_of(model)))
            _write_json(Path(folder) / "result.json", document)
            self.store.work(self.spec.digest).save_result(Path(folder))

    def _check_export(self, folder: Path, model: Any, tokenizer: Any) -> None:
        """Compare the folder's scores of a few rows with the model's, before it is kept."""
        table = self.corpus.table(VALIDATION).slice(0, EXPORT_ROWS)
        columns = [table[field.name].to_pylist() for field in self.corpus.task.fields]
        encoded = encode(tokenizer, columns, max_length=self.spec.train.max_length)
        labels = torch.full((len(table),), -1)
        rows = Rows(table["id"].to_pylist(), encoded, labels, tokenizer.pad_token_id)
        logits = predict(model, rows, batch_size=EXPORT_ROWS, device=torch.device("cpu"), precision="fp32")
        check_export(folder, list(zip(*columns, strict=True)), torch.from_numpy(logits))

    def _evaluate(
        self, model: Any, tokenizer: Any, validation: "_Scored | None"
    ) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]], dict[str, Any], dict[str, str]]:
        """Scores by split, the agreement with each teacher by split, scores of parts of the splits, and the test rows
        that are right; what the kept epoch gave on validation is not computed again."""
        known = {VALIDATION: validation} if validation else {}
        found = {
            s: known.get(s) or self._scores(model, self._rows(tokenizer, self.corpus, s)) for s in self.corpus.scored
        }
        scores = {split: each.metrics for split, each in found.items()}
        if self.pruned_corpus is not self.corpus:
            for split in self.pruned_corpus.scored:  # the same rows with the texts that pruning left of them
                rows = self._rows(tokenizer, self.pruned_corpus, split)
                scores[f"{split}_pruned"] = self._scores(model, rows).metrics
        by_language = {split: self._languages(split, each.logits) for split, each in found.items()}
        languages = {split: each for split, each in by_language.items() if each}
        parts: dict[str, Any] = {"languages": languages} if languages else {}
        by_class = {
            split: scores_by_class(self.corpus.labels(split), each.logits, self.spec.labels, self.task)
            for split, each in found.items()
        }
        parts |= {"classes": {split: each for split, each in by_class.items() if each}}
        if self.task.target == "tags":
            parts["words"] = {split: {"words": each.words, "unread": each.unread} for split, each in found.items()}
        self._warn_of_one_prediction(found[TEST])
        return scores, self._agreement(found), parts, self._right(found)

    def _languages(self, split: str, logits: np.ndarray) -> dict[str, dict[str, float]]:
        """Scores of the rows of each language, and under `macro` their mean; empty where languages do not count."""
        given = self.corpus.languages(split)
        if given is None:
            return {}
        every = np.array(given)
        targets, found = self.corpus.labels(split), dict[str, dict[str, float]]()
        for language in sorted(set(given)):
            rows = np.flatnonzero(every == language)
            for name, full in metrics_of(self.corpus.task.metrics, self.task).items():
                with suppress(ConfigError):  # a language may lack a class that the metric needs
                    found.setdefault(language, {})[name] = score_one(full, targets[rows], logits[rows], self.task)
        names = [name for name in next(iter(found.values()), {}) if all(name in each for each in found.values())]
        return {**found, "macro": {name: float(np.mean([each[name] for each in found.values()])) for name in names}}

    def _agreement(self, found: Mapping[str, "_Scored"]) -> dict[str, dict[str, float]]:
        """By teacher and split, the share of its predicted rows for which the student predicts the same class."""
        agreement: dict[str, dict[str, float]] = {teacher.info.name: {} for teacher in self.spec.teachers}
        for split, scored in found.items() if self.task.target == "class" else ():
            for teacher, cached in zip(self.spec.teachers, self._cached(split, scored.ids), strict=True):
                given = np.ones(len(scored.ids), bool) if cached.predicted is None else cached.predicted
                rows = np.flatnonzero(given)
                if teacher.info.known is None and len(rows):  # a teacher of some classes has nothing to say of others
                    theirs = cached.signals_for(rows, torch.device("cpu"), frozenset()).logits.numpy().argmax(1)
                    agreement[teacher.info.name][split] = float((scored.logits[rows].argmax(1) == theirs).mean())
        return {name: by_split for name, by_split in agreement.items() if by_split}

    def _noise(self, score: float) -> float | None:
        return row_noise(self.metric, score, len(self.corpus.table(VALIDATION)))

    def _warn_of_gap(self, scores: Mapping[str, Mapping[str, float]]) -> None:
        rows = (len(self.corpus.table(VALIDATION)), len(self.corpus.table(TEST)))
        both = {split: scores[split][self.metric] for split in (VALIDATION, TEST)}
        if gap := split_gap(self.metric, validation=both[VALIDATION], test=both[TEST], rows=rows):
            log.warning("%s: %s", self.spec.title, gap)

    def _warn_of_one_prediction(self, scored: "_Scored") -> None:
        """Of one class for all test rows, or of no entity in any."""
        if self.task.target == "class" and len(np.unique(self.corpus.labels(TEST))) > 1:
            predicted = np.unique(scored.logits.argmax(1))
            if len(predicted) == 1:
                label, rows = self.spec.labels[predicted[0]], plural(len(scored.ids), "test row")
                found = f"the prediction is {label} for all {rows}; it has learned nothing that tells classes apart"
                log.warning("%s: %s.", self.spec.title, found)
        if self.task.target == "tags" and scored.metrics[self.metric] == 0:
            log.warning("%s: no entity of the test rows is found; it may need more steps.", self.spec.title)

    def _right(self, found: Mapping[str, "_Scored"]) -> dict[str, str]:
        """The rows of test for which the highest logit is that of the label, see `pack_rows`; only with classes."""
        if self.task.target != "class":
            return {}
        return {TEST: pack_rows(found[TEST].logits.argmax(1) == self.corpus.labels(TEST))}

    def _scores(self, model: Any, rows: Rows) -> "_Scored":
        precision = self.spec.train.precision
        assert precision != "auto"
        logits = predict(model, rows, batch_size=EVALUATION_ROWS, device=self.device, precision=precision)
        scores = score_all(self.corpus.task.metrics, rows.labels.numpy(), logits, self.task)
        words = rows.encoded.words
        counts = (int(words.lengths.sum()), words.unread) if words else ()
        return _Scored(scores, logits, rows.ids, *counts)

    def _baseline(self, split: str) -> float:
        return baseline(self.selects_by, self.corpus.labels(split), outputs=len(self.spec.labels), task=self.task)

    def _corpus(self) -> StoredCorpus:
        corpus = load_corpus(self.spec.corpus.open(self.store).folder)
        labels, name = corpus.task.labels, corpus.task.name
        if self.spec.label_map is None:
            own = self.spec.labels
            return corpus if own == labels else corpus.map(lambda table: only_classes(table, labels, own))
        return corpus.map(
            lambda t: map_classes(t, labels, label_map=self.spec.label_map or {}, into=self.spec.labels, name=name)
        )

    def _rows(self, tokenizer: Any, corpus: StoredCorpus, split: str, *, max_length: int | None = None) -> Rows:
        texts, ids = self._texts(corpus, split), corpus.table(split)["id"].to_pylist()
        encoded = encode(tokenizer, texts, max_length=max_length or self.spec.train.max_length)
        labels, languages = torch.from_numpy(corpus.labels(split)), corpus.languages(split)
        groups = None if languages is None else np.unique(languages, return_inverse=True)[1]
        if encoded.words is not None:  # the longest row may be one without tags
            labels = F.pad(labels, (0, encoded.words.starts.shape[1] - labels.shape[1]), value=NO_WORD)
        return Rows(ids, encoded, labels, tokenizer.pad_token_id, groups)

    def _prepared(self, train_rows: Rows) -> MethodState:
        def logits_of(split: str, ids: Sequence[str], labels: torch.Tensor) -> TeacherLogits:
            teachers, cpu = self._cached(split, ids), torch.device("cpu")
            mask = _predicted_by_all(teachers)
            rows = np.arange(len(ids)) if mask is None else np.flatnonzero(mask)
            logits = tuple(t.signals_for(rows, cpu, frozenset()).logits for t in teachers)
            return (word_logits if self.task.target == "tags" else TeacherLogits)(labels[rows], logits)

        validation = self.corpus.table("validation")["id"].to_pylist()
        return self.method.prepare(
            PriorOutputs(
                train=logits_of("train", train_rows.ids, train_rows.labels),
                validation=logits_of("validation", validation, torch.from_numpy(self.corpus.labels("validation"))),
                scores=lambda: tuple(self._teacher_score(each) for each in self._cached("validation", validation)),
            )
        )

    def _teacher_score(self, teacher: CachedTeacher) -> float:
        """On the validation rows that it predicts; higher is better."""
        targets = self.corpus.labels(VALIDATION)
        rows = np.arange(len(targets)) if teacher.predicted is None else np.flatnonzero(teacher.predicted)
        logits = teacher.signals_for(rows, torch.device("cpu"), frozenset()).logits.numpy()
        score = score_one(self.selects_by, targets[rows], logits, self.task)
        return score if get_metric(self.selects_by).higher_is_better else -score

    def _cached(self, split: str, ids: Sequence[str]) -> list[CachedTeacher]:
        folders = [teacher.outputs.open(self.store).folder for teacher in self.spec.teachers]
        return [CachedTeacher(folder, split, ids) for folder in folders]

    def _predicted(self, rows: Rows) -> torch.Tensor | None:
        """Which rows, or words, every teacher predicts; None is all of them."""
        teachers = self._cached("train", rows.ids)
        if rows.encoded.words is None:
            return _predicted_by_all(teachers)
        places, cpu = np.arange(len(rows)), torch.device("cpu")
        found = [read_words(teacher.signals_for(places, cpu, frozenset()).logits) for teacher in teachers]
        return torch.stack(found).all(0) if found else None

    def _teacher(self, teacher: TeacherRef, rows: Rows) -> Teacher:
        if self.spec.access == "online":
            return self._online(teacher, rows)
        more = teacher.dropout_outputs.open(self.store).folder if teacher.dropout_outputs else None
        cached = CachedTeacher(teacher.outputs.open(self.store).folder, "train", rows.ids, extra=more)
        return MixedTeacher(cached, lambda: self._online(teacher, rows))

    def _online(self, teacher: TeacherRef, rows: Rows) -> OnlineTeacher:
        artifact = teacher.trained.open(self.store)
        own = json.loads(artifact.file("result.json").read_text())["spec"]["train"]
        folder = artifact.file("model")
        labels = self.spec.labels
        scored = labels if teacher.info.known is None else tuple(labels[index] for index in teacher.info.known)
        model = load_classifier(folder, labels=scored, seed=0, head="own")
        # teachers read with their own tokenizer, as far as they were trained to
        read = self.pruned_corpus if self.spec.teacher_view == "pruned" else self.corpus
        full = self._rows(load_tokenizer(folder), read, "train", max_length=own["max_length"])
        at = {row: i for i, row in enumerate(full.ids)}
        same = full.take(np.array([at[row] for row in rows.ids]))
        return OnlineTeacher(model.to(self.device), same, student_rows=rows, precision=own["precision"])


def _predicted_by_all(teachers: Sequence[CachedTeacher]) -> torch.Tensor | None:
    """Which rows every teacher predicts; None is all of them."""
    masks = [teacher.predicted for teacher in teachers if teacher.predicted is not None]
    return torch.from_numpy(np.logical_and.reduce(masks)) if masks else None


def _untrained() -> FitResult:
    return FitResult(history=[], best_epoch=0, score=float("nan"), seconds=0.0, rows=0, units=0, queries={})


def _versions() -> dict[str, str]:
    return {
        "kdray": kdray.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
