"""Teachers and students as objects: they predict, evaluate, and are saved and loaded."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from kdray.api.dataset import Dataset
from kdray.config import WorkSettings
from kdray.corpora import encode, kdray_data, load_corpus
from kdray.distillation import StudentSettings
from kdray.engines.choice import EngineChoice, Local
from kdray.errors import ConfigError
from kdray.evaluate import predict
from kdray.models import load_classifier, load_tokenizer
from kdray.pruning import Pruner
from kdray.records import Settings
from kdray.stages import Context, InProcess, read, teach
from kdray.stages.train_stage import result_of
from kdray.store import Artifact, Store
from kdray.tasks import get_task, score_all
from kdray.teachers import TeacherSettings
from kdray.train import Rows

FILE = "kdray.json"  # what a saved classifier needs in its Hugging Face folder
BATCH_ROWS = 64


@dataclass(frozen=True)
class Encoder:
    """Layers of a pretrained encoder for a student.

    Attributes:
        name: Hugging Face id, local folder, or `minilm`.
        layers: How many layers the student has.
        init: Take the `bottom` layers, or `skip` evenly up to the last.

    >>> Encoder("minilm", layers=2)
    Encoder(name='minilm', layers=2, init='bottom')
    """

    name: str = "minilm"
    layers: int = 3
    init: Literal["bottom", "skip"] = "bottom"

    @property
    def settings(self) -> StudentSettings:
        return StudentSettings(encoder=self.name, layers=self.layers, init=self.init, init_from="encoder")


class Reading(Settings):
    """How a classifier reads a row, and what its outputs mean.

    Attributes:
        fields: The texts of a row, one or two, by name.
        prunable: Those of `fields` that pruning may shorten.
    """

    labels: tuple[str, ...]
    fields: tuple[str, ...]
    prunable: tuple[str, ...]
    max_length: int
    precision: Literal["fp32", "bf16"]
    task: str
    metrics: tuple[str, ...]


@dataclass(frozen=True)
class Classifier:
    """A trained classifier: an ordinary Hugging Face folder and what is known of it.

    Attributes:
        folder: The Hugging Face folder.
        result: Scores, history and cost, as `result.json` holds them.
        pruner: What shortens texts before they are read; None where the model was trained on whole texts.
    """

    folder: Path
    reading: Reading = field(repr=False)
    result: Mapping[str, Any] = field(repr=False)
    pruner: Pruner | None = field(default=None, repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of `predict_proba`."""
        return self.reading.labels

    def predict_proba(self, texts: Sequence[Any]) -> np.ndarray:
        """Probabilities of the classes (of each label, for several labels a row; values, for regression).

        Args:
            texts: Texts, or pairs of texts for a corpus with two.

        Returns:
            float32 [rows, classes].

        Raises:
            ConfigError: Something is not a text, or not a pair of texts.
        """
        logits = self._logits(self._columns(texts))
        found = get_task(self.reading.task).predictions(logits)
        return np.asarray(logits if found.probabilities is None else found.probabilities, dtype=np.float32)

    def predict(self, texts: Sequence[Any]) -> list[Any]:
        """The most likely class of each text; a list of labels a row for several labels; a number for regression."""
        scores = self.predict_proba(texts)
        if self.reading.task == "single_label":
            return [self.labels[column] for column in scores.argmax(1)]
        if self.reading.task == "multi_label":
            return [[label for label, p in zip(self.labels, row, strict=True) if p >= 0.5] for row in scores]
        return [float(value) for value in scores[:, 0]]

    def evaluate(self, data: Dataset | None = None, *, metrics: Sequence[str] | None = None) -> dict[str, float]:
        """Metrics on the test rows: those recorded after training, or computed on the test rows of `data`.

        Raises:
            ConfigError: A metric is unknown, or needs other rows.
        """
        if data is None and metrics is None:
            return dict(self.result["metrics"]["test"])
        if data is None:
            raise ConfigError("evaluate with metrics= needs the data too: evaluate(data, metrics=[...]).")
        with tempfile.TemporaryDirectory() as store:
            corpus = load_corpus(read(data.settings, Context(Store(store), InProcess(), kdray_data())).folder)
            if tuple(corpus.task.labels) != self.labels:
                raise ConfigError(f"{data.name} has the labels {corpus.task.labels}, the model has {self.labels}.")
            table, targets = corpus.table("test"), corpus.labels("test")
        columns = [table[name].to_pylist() for name in self.reading.fields]
        names = tuple(metrics or self.reading.metrics)
        return score_all(names, targets, self._logits(columns), get_task(self.reading.task))

    def save(self, folder: str | Path) -> Path:
        """Write the Hugging Face folder with what `load` needs; the folder must not exist yet.

        Raises:
            ConfigError: The folder exists.
        """
        target = Path(folder).expanduser()
        if target.exists():
            raise ConfigError(f"{folder} exists; give the name of a new folder.")
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(self.folder, temporary)
        document = {"format": 1, "reading": self.reading.model_dump(mode="json"), "result": dict(self.result)}
        (temporary / FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if self.pruner is not None:
            self.pruner.save(temporary)
        temporary.rename(target)
        return target

    def to_pandas(self) -> Any:
        """The epochs of the training, one a row."""
        import pandas as pd

        return pd.DataFrame(self.result["history"])

    def _repr_html_(self) -> str:
        test = self.result["metrics"].get("test", {})
        rows = "".join(f"<tr><td>{name}</td><td>{value:.4f}</td></tr>" for name, value in test.items())
        return f"<b>{type(self).__name__}</b> {self.folder}<table><tr><th>metric</th><th>test</th></tr>{rows}</table>"

    def _columns(self, texts: Sequence[Any]) -> list[list[str]]:
        width = len(self.reading.fields)
        if isinstance(texts, str):
            raise ConfigError("give a list of texts; put the one text into a list.")
        rows = [tuple(each) if isinstance(each, tuple | list) else (each,) for each in texts]
        for number, row in enumerate(rows):
            if len(row) != width or not all(isinstance(each, str) for each in row):
                wanted = "a text" if width == 1 else "a pair of texts"
                raise ConfigError(f"row {number} is {texts[number]!r}; expected {wanted}.")
        columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
        if self.pruner is None:
            return columns
        return [
            self.pruner.prune(column) if name in self.reading.prunable else column
            for name, column in zip(self.reading.fields, columns, strict=True)
        ]

    def _logits(self, columns: list[list[str]]) -> np.ndarray:
        if not columns[0]:
            return np.zeros((0, len(self.labels) or 1), dtype=np.float32)
        model, tokenizer = self._loaded
        encoded = encode(tokenizer, columns, max_length=self.reading.max_length)
        number = len(columns[0])
        rows = Rows([str(row) for row in range(number)], encoded, torch.full((number,), -1), tokenizer.pad_token_id)
        device = next(model.parameters()).device
        return predict(model, rows, batch_size=BATCH_ROWS, device=device, precision=self.reading.precision)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        outputs = self.labels or get_task(self.reading.task).outputs
        model = load_classifier(self.folder, labels=outputs, seed=0)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return model.eval().to(device), load_tokenizer(self.folder)


class Student(Classifier):
    """A distilled student."""

    @staticmethod
    def load(folder: str | Path) -> "Student":
        """Read what `save` wrote.

        Raises:
            ConfigError: The folder was not written by `save`.
        """
        path = Path(folder).expanduser()
        if not (path / FILE).is_file():
            raise ConfigError(f"{folder} has no {FILE}: it was not written by Student.save.")
        document = json.loads((path / FILE).read_text(encoding="utf-8"))
        pruner = Pruner.load(path) if (path / "pruner.json").is_file() else None
        return Student(path, Reading.model_validate(document["reading"]), document["result"], pruner)


@dataclass(frozen=True)
class Teacher:
    """An encoder to fine-tune on the corpus, or a classifier that is fine-tuned already.

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

    @staticmethod
    def from_pretrained(folder: str, *, name: str = "teacher", max_length: int = 128) -> "Teacher":
        """A classifier that is fine-tuned for this task already; it is used as it is."""
        return Teacher(folder, name, {"max_length": max_length}, fine_tuned=True)

    @property
    def settings(self) -> TeacherSettings:
        changes = {"train": dict(self.train)} if self.train else {}
        return TeacherSettings.model_validate(
            {"name": self.name, "encoder": self.encoder, "fine_tuned": self.fine_tuned, **changes}
        )

    def fit(self, data: Dataset, *, store: str = "store", engine: EngineChoice | None = None) -> "Teacher":
        """The same teacher, fine-tuned (or found in the store), which can predict.

        Raises:
            ConfigError: The encoder or the data cannot be used.
        """
        with (engine or Local()).start(WorkSettings()) as running:
            context = Context(Store(store), running, kdray_data())
            corpus = read(data.settings, context)
            model = teach(self.settings, corpus, context)
        return Teacher(self.encoder, self.name, self.train, self.fine_tuned, Classifier(*classifier_of(model, corpus)))

    def predict_proba(self, texts: Sequence[Any]) -> np.ndarray:
        """As `Student.predict_proba`; after `fit`."""
        return self._ready().predict_proba(texts)

    def predict(self, texts: Sequence[Any]) -> list[Any]:
        """As `Student.predict`; after `fit`."""
        return self._ready().predict(texts)

    def evaluate(self, data: Dataset | None = None, *, metrics: Sequence[str] | None = None) -> dict[str, float]:
        """As `Student.evaluate`; after `fit`."""
        return self._ready().evaluate(data, metrics=metrics)

    def _ready(self) -> Classifier:
        if self.fitted is None:
            raise ConfigError(f"teacher {self.name} is not fitted yet; call teacher = teacher.fit(data) first.")
        return self.fitted


def classifier_of(
    model: Artifact, corpus: Artifact, pruned: Artifact | None = None
) -> tuple[Path, Reading, dict[str, Any], Pruner | None]:
    """What a `Classifier` is made of, from the artifacts of a training and its corpus."""
    result, stored = result_of(model), load_corpus(corpus.folder)
    spec = result["spec"]
    shortens = pruned is not None and pruned.summary["level"] == "sentence"
    pruner = Pruner.load(pruned.file("pruner.json").parent) if pruned is not None and shortens else None
    prunable = tuple(each.name for each in stored.task.fields if each.role in ("context", "body"))
    reading = Reading(
        labels=tuple(spec["labels"]),
        fields=tuple(each.name for each in stored.task.fields),
        prunable=prunable,
        max_length=spec["train"]["max_length"],
        precision=spec["train"]["precision"],
        task=stored.task.kind,
        metrics=stored.task.metrics,
    )
    return model.file("model"), reading, result, pruner
