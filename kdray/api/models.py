"""Teachers and students as objects: they predict, evaluate, and are saved and loaded."""

import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from kdray.api.dataset import Dataset
from kdray.api.given import check_object, chosen_engine, mapping_of
from kdray.config import WorkSettings, checked
from kdray.corpora import StoredCorpus, kdray_data, load_corpus
from kdray.distillation import StudentSettings
from kdray.engines.choice import EngineChoice
from kdray.errors import ConfigError
from kdray.export.bundle import TOLERANCE, Format, export_bundle, write_saved
from kdray.export.evidence import evidence_for, of_corpus
from kdray.export.folder import new_folder
from kdray.export.trained import FILE, TrainedModel, open_trained, trained_parts
from kdray.stages import Context, InProcess, read, teach
from kdray.store import Store
from kdray.tasks import baseline, get_task, metrics_of, score_all, types_of
from kdray.tasks.entities import entities
from kdray.teachers import TeacherSettings


@dataclass(frozen=True)
class Encoder:
    """Layers of a pretrained encoder for a student.

    Attributes:
        name: Hugging Face id, local folder, or `minilm`.
        layers: How many layers the student has, or which: 0-based, from the bottom to the top.
        init: Take the `bottom` layers, or `skip` evenly up to the last.
        vocabulary: `trim` keeps the tokens that the training rows use.
        width, heads, intermediate: Fewer hidden units, attention heads of a layer, and feed-forward units; None keeps
            all (of heads: their size).
        embedding_rank: Columns of a factorized word table.

    >>> Encoder("minilm", layers=2).layers
    2
    """

    name: str = "minilm"
    layers: int | Sequence[int] = 3
    init: Literal["bottom", "skip"] = "bottom"
    vocabulary: Literal["full", "trim"] = "full"
    width: int | None = None
    heads: int | None = None
    intermediate: int | None = None
    embedding_rank: int | None = None

    def __post_init__(self) -> None:
        _ = self.settings  # wrong ones are refused now

    @property
    def settings(self) -> StudentSettings:
        layers = (
            tuple(self.layers)
            if isinstance(self.layers, Sequence) and not isinstance(self.layers, str)
            else self.layers
        )
        given = {name: value for name, value in vars(self).items() if name != "name"}
        return checked(StudentSettings, {**given, "encoder": self.name, "layers": layers, "init_from": "encoder"})


class Evaluation(dict[str, float]):
    """Metrics on the test rows, with what they are judged by.

    Attributes:
        majority: What the best constant prediction (the majority class) reaches, by metric.
        teachers: By teacher, its metric on the same rows, where it is known.

    >>> Evaluation({"accuracy": 0.84}, {"accuracy": 0.5}, {"large": {"accuracy": 0.91}})
    {'accuracy': 0.8400} (accuracy: teacher large 0.9100, majority class 0.5000)
    """

    def __init__(
        self, scores: Mapping[str, float], majority: Mapping[str, float], teachers: Mapping[str, Mapping[str, float]]
    ) -> None:
        super().__init__(scores)
        self.majority, self.teachers = dict(majority), {name: dict(each) for name, each in teachers.items()}

    def __repr__(self) -> str:
        metric = next(iter(self))
        others = [f"{name} {each[metric]:.4f}" for name, each in self._others().items() if metric in each]
        scores = ", ".join(f"{name!r}: {value:.4f}" for name, value in self.items())
        return f"{{{scores}}} ({metric}: {', '.join(others)})" if others else f"{{{scores}}}"

    def to_pandas(self) -> Any:
        """One row for the model, each teacher and the majority class."""
        import pandas as pd

        return pd.DataFrame.from_dict({"this model": dict(self)} | self._others(), orient="index", columns=list(self))

    def _repr_html_(self) -> str:
        return _html(self)

    def _others(self) -> dict[str, dict[str, float]]:
        named = {name if name == "teacher" else f"teacher {name}": each for name, each in self.teachers.items()}
        return named | {"majority class": self.majority}


def _html(found: Evaluation) -> str:
    return found.to_pandas().to_html(na_rep="", float_format="{:.4f}".format)


@dataclass(frozen=True)
class Classifier(TrainedModel):
    """A trained classifier: an ordinary Hugging Face folder and what is known of it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of `predict_proba`."""
        return self.reading.labels

    def predict_proba(self, texts: Sequence[Any]) -> np.ndarray:
        """Probabilities of the classes (of each label, for several labels a row; values, for regression).

        Args:
            texts: Texts, or pairs of texts for a corpus with two; lists of tokens, where these have tags.

        Returns:
            float32 [rows, classes]; of tokens [rows, tokens, tags], NaN where a row has none, or the model reads none.

        Raises:
            ConfigError: Something is not a text, a pair of texts, or a list of tokens.
        """
        found = get_task(self.reading.task).predictions(self._logits(self._columns(texts)))
        values = found.values[:, None] if found.probabilities is None and found.values is not None else None
        return np.asarray(found.probabilities if values is None else values, dtype=np.float32)

    def predict(self, texts: Sequence[Any]) -> list[Any]:
        """The most likely class of each text; a list of labels a row for several labels; a number for regression.

        Of lists of tokens, a list of entities a row: `type`, `start` (the first token), `end` (behind the last one)
        and `tokens`.
        """
        scores, target = self.predict_proba(texts), get_task(self.reading.task).target
        if target == "tags":
            return self._entities(texts, scores)
        if target == "class":
            return [self.labels[column] for column in scores.argmax(1)]
        if target == "labels":
            return [[label for label, p in zip(self.labels, row, strict=True) if p >= 0.5] for row in scores]
        return [float(value) for value in scores[:, 0]]

    def _entities(self, texts: Sequence[Any], scores: np.ndarray) -> list[list[dict[str, Any]]]:
        tags, names = get_task(self.reading.task).predictions(scores).classes, types_of(self.labels)
        assert tags is not None
        found: list[list[dict[str, Any]]] = [[] for _ in texts]
        for row, start, end, kind in entities(tags).tolist():
            tokens = list(texts[row][start:end])
            found[row].append({"type": names[kind], "start": start, "end": end, "tokens": tokens})
        return found

    def evaluate(self, data: Dataset | None = None, *, metrics: Sequence[str] | None = None) -> Evaluation:
        """Metrics on the test rows: those recorded after training, or computed on the test rows of `data`.

        With those that are recorded are the scores of the teachers on the same rows.

        Raises:
            ConfigError: A metric is unknown, or needs other rows; or nothing is recorded.
        """
        if data is None and metrics is not None:
            raise ConfigError("evaluate with metrics= needs the data too: evaluate(data, metrics=[...]).")
        if data is None:
            if "metrics" not in self.result:
                raise ConfigError(f"{self.folder} was not trained by kdray, so it has no scores: evaluate(data).")
            majority = {self.result["metric"]: self.result["majority"]["test"]}
            return Evaluation(self.result["metrics"]["test"], majority, self.result.get("teachers", {}))
        with _stored(data) as corpus:
            if tuple(corpus.task.labels) != self.labels:
                raise ConfigError(f"{data.name} has the labels {corpus.task.labels}, the model has {self.labels}.")
            table, targets = corpus.table("test"), corpus.labels("test")
        columns = [table[name].to_pylist() for name in self.reading.fields]
        names, task, outputs = tuple(metrics or self.reading.metrics), get_task(self.reading.task), len(self.outputs)
        scores, majority = score_all(names, targets, self._logits(columns), task), dict[str, float]()
        for name, full in metrics_of(names, task).items():
            with suppress(ConfigError):  # a metric may be undefined for constant predictions
                majority[name] = baseline(full, targets, outputs=outputs, task=task)
        return Evaluation(scores, majority, {})

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the Hugging Face folder with what `load` needs.

        It names the folder of its corpus in the store, so that an export from it is compared on the validation rows
        as long as the store is there.

        Args:
            overwrite: Replace a folder that `save` wrote, once the new one is whole.

        Raises:
            ConfigError: The folder exists, or, with `overwrite`, is another one than `save` writes.
        """
        target = Path(folder).expanduser()
        with new_folder(target, str(folder), mark=FILE, overwrite=overwrite) as draft:
            write_saved(self, draft, corpus=self.corpus)
        return target

    def export(
        self,
        folder: str | Path,
        *,
        format: Format = "onnx",
        data: Dataset | str | Path | None = None,
        tolerance: float = TOLERANCE,
        reduce_range: bool | None = None,
        calibrate: bool = False,
        abstain_below: float | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write a bundle that is proven to agree with this model: its logits are compared on validation rows.

        Args:
            folder: A new folder, or with `overwrite` an earlier bundle.
            format: `hf` (a Hugging Face folder), `onnx` or `onnx-int8` (they run without torch and kdray).
            data: Its validation rows are compared; or a file (parquet, CSV, JSON Lines) with the fields and a column
                `label`, all of whose rows are. None takes the validation rows of the corpus that it was trained on.
            tolerance: Points (hundredths) of the first metric that int8 may lose.
            reduce_range: 7-bit weights for processors that saturate int8; None: where this one has no VNNI.
            calibrate: Divide logits by the temperature of the smallest log-loss on the rows.
            abstain_below: Rows of lower confidence get no label.
            overwrite: Replace a bundle of this name, once the new one agrees.

        Raises:
            ConfigError: The folder exists (with `overwrite`: and is no bundle), the model cannot be exported, or there
                are no rows to compare.
            RunError: The export does not agree with the model.
        """
        target = Path(folder).expanduser()
        if isinstance(data, Dataset):
            with _stored(data) as corpus:
                evidence = of_corpus(corpus, self.reading)
        else:
            evidence = evidence_for(self, None if data is None else Path(data).expanduser())
        export_bundle(
            self,
            target,
            format=format,
            evidence=evidence,
            tolerance=tolerance,
            reduce_range=reduce_range,
            calibrate=calibrate,
            abstain_below=abstain_below,
            overwrite=overwrite,
        )
        return target

    def to_pandas(self) -> Any:
        """The epochs of the training, one a row."""
        import pandas as pd

        return pd.DataFrame(self.result["history"])

    def _repr_html_(self) -> str:
        scores = _html(self.evaluate()) if "metrics" in self.result else ""
        return f"<b>{type(self).__name__}</b> {escape(str(self.folder))}{scores}"

    def _columns(self, texts: Sequence[Any]) -> list[list[Any]]:
        if hasattr(texts, "columns") or isinstance(texts, Mapping):  # their iteration gives the names of columns
            kind = type(texts).__name__
            raise ConfigError(f"texts is a {kind}; give a list of texts, such as one of its columns.")
        if get_task(self.reading.task).target == "tags":
            return [_lists_of_tokens(texts)]
        width = len(self.reading.fields)
        if isinstance(texts, str):
            raise ConfigError("give a list of texts; put the one text into a list.")
        rows = [tuple(each) if isinstance(each, tuple | list) else (each,) for each in texts]
        for number, row in enumerate(rows):
            if len(row) != width or not all(isinstance(each, str) for each in row):
                wanted = "a text" if width == 1 else "a pair of texts"
                raise ConfigError(f"texts[{number}] is {texts[number]!r}; expected {wanted}.")
        columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
        return self.shortened(columns)

    def _logits(self, columns: list[list[Any]]) -> np.ndarray:
        return self.logits(self._loaded, columns, precision=self.reading.precision)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        model, tokenizer = self.load_model()
        return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def _lists_of_tokens(rows: Sequence[Any]) -> list[list[str]]:
    for number, row in enumerate(rows):
        each: Any = row
        if not isinstance(row, list | tuple) or not each or not all(isinstance(t, str) and t for t in each):
            raise ConfigError(f"texts[{number}] is {row!r}; expected a list of tokens, each a text that is not empty.")
    return [list(row) for row in rows]


class Student(Classifier):
    """A distilled student.

    >>> import kdray as kd
    >>> from kdray.models import NaiveBayes
    >>> student = kd.distill(None, kd.Dataset.load("sample", limit=100), student=NaiveBayes())
    >>> Student.load(student.save("my-student")).predict([("A man sleeps.", "A man is awake.")])[0] in student.labels
    True
    """

    @staticmethod
    def load(folder: str | Path) -> "Student":
        """Read what `save` wrote, the folder of a student in a store, or a plain folder of transformers.

        Raises:
            ConfigError: The folder is none of these.
        """
        found = open_trained(folder)
        return Student(found.folder, found.reading, found.result, found.pruner, found.corpus)


@dataclass(frozen=True)
class Teacher:
    """An encoder to fine-tune on the corpus, a classifier that is fine-tuned already, or a file of predictions.

    `distill`, `compare` and `search` fine-tune a teacher that is not fitted yet, and keep it in the store. Only a
    teacher that is fitted by `fit` can predict.

    Args:
        encoder: Hugging Face id, local folder, or `minilm`.
        name: Names it in tables and in the store.
        train: Settings of its training, such as `{"epochs": 3}`.

    >>> Teacher("minilm", train={"epochs": 1}).settings.train.epochs
    1
    """

    encoder: str = "minilm"
    name: str = "teacher"
    train: Mapping[str, Any] = field(default_factory=dict[str, Any])
    fine_tuned: bool = False
    fitted: Classifier | None = field(default=None, repr=False)
    predictions: str | None = None

    def __post_init__(self) -> None:
        _ = self.settings  # wrong ones are refused now

    @staticmethod
    def from_pretrained(folder: str, *, name: str = "teacher", max_length: int = 128) -> "Teacher":
        """A classifier that is fine-tuned for this task already; it is used as it is."""
        return Teacher(folder, name, {"max_length": max_length}, fine_tuned=True)

    @staticmethod
    def from_predictions(file: str | Path, *, name: str = "teacher") -> "Teacher":
        """Labels, votes, probabilities or scores from elsewhere, such as a language model, for rows of the corpus.

        Args:
            file: parquet, CSV or JSON Lines with a column `id` or the texts, and `label`, `votes`, or `p:LABEL`,
                `logp:LABEL` or `logit:LABEL` for every label (docs/runs.md); for all rows of train, or some.

        >>> Teacher.from_predictions("labels.parquet", name="llm").settings.predictions
        'labels.parquet'
        """
        return Teacher(name=name, predictions=str(file))

    @property
    def settings(self) -> TeacherSettings:
        if self.predictions is not None:
            return TeacherSettings(name=self.name, predictions=self.predictions)
        changes = {"train": mapping_of("train", self.train)} if self.train else {}
        named = {"name": self.name, "encoder": self.encoder, "fine_tuned": self.fine_tuned}
        return checked(TeacherSettings, {**named, **changes})

    def fit(self, data: Dataset, *, store: str = "store", engine: EngineChoice | None = None) -> "Teacher":
        """The same teacher, fine-tuned (or found in the store), which can predict.

        Raises:
            ConfigError: The encoder or the data cannot be used.
        """
        if self.predictions is not None:
            raise ConfigError(f"teacher {self.name} is a file of predictions; hand it to kdray.distill as it is.")
        check_object("data", data, (Dataset,), "a kd.Dataset, such as kd.Dataset.from_files(...)")
        with chosen_engine(engine).start(WorkSettings()) as running:
            context = Context(Store(store), running, kdray_data())
            corpus = read(data.settings, context)
            model = teach(self.settings, corpus, context)
            parts = trained_parts(model, corpus, context.store)
        return Teacher(self.encoder, self.name, self.train, self.fine_tuned, Classifier(*parts))

    def predict_proba(self, texts: Sequence[Any]) -> np.ndarray:
        """As `Student.predict_proba`; after `fit`."""
        return self.classifier.predict_proba(texts)

    def predict(self, texts: Sequence[Any]) -> list[Any]:
        """As `Student.predict`; after `fit`."""
        return self.classifier.predict(texts)

    def evaluate(self, data: Dataset | None = None, *, metrics: Sequence[str] | None = None) -> Evaluation:
        """As `Student.evaluate`; after `fit`."""
        return self.classifier.evaluate(data, metrics=metrics)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """As `Student.save`; after `fit`."""
        return self.classifier.save(folder, overwrite=overwrite)

    @property
    def classifier(self) -> Classifier:
        """What `fit` made.

        Raises:
            ConfigError: The teacher is not fitted yet, or is a file of predictions.
        """
        if self.predictions is not None:
            raise ConfigError(f"teacher {self.name} is a file of predictions, without a model that reads texts.")
        if self.fitted is None:
            raise ConfigError(f"teacher {self.name} is not fitted yet; call teacher = teacher.fit(data) first.")
        return self.fitted


@contextmanager
def _stored(data: Dataset) -> Generator[StoredCorpus]:
    """The rows of `data` as stages read them, while it is open."""
    with tempfile.TemporaryDirectory() as store:
        yield load_corpus(read(data.settings, Context(Store(store), InProcess(), kdray_data())).folder)
