"""One call for a whole run: `distill` makes a student, `prune` a pruned corpus."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import pyarrow.parquet as pq

from kdray.api.dataset import Dataset
from kdray.api.given import check_object, chosen_engine, mapping_of
from kdray.api.models import Encoder, Student, Teacher
from kdray.config import PruneSection, RunConfig, checked
from kdray.corpora import kdray_data
from kdray.distillation import StudentSettings
from kdray.engines.choice import EngineChoice
from kdray.errors import ConfigError, did_you_mean
from kdray.export.trained import trained_parts
from kdray.methods import KD, FineTune, Method
from kdray.models import Architecture
from kdray.pruning import Pruner
from kdray.stages import Context, prepare
from kdray.stages import distill as distill_stage
from kdray.store import Artifact, Store
from kdray.train import TrainSettings

NOTHING = PruneSection.model_validate({"policy": "none"})
FROM_TEACHER = StudentSettings(layers=3, init="skip", init_from="teacher")
FROM_ENCODER = Encoder(init="skip")  # the same layers, where no teacher has any


@dataclass(frozen=True, repr=False)
class Pruned:
    """A pruned corpus: what was dropped and why, and the pruner that was fitted.

    Attributes:
        data: The corpus before pruning.
        settings: The section `prune`.
        summary: Counts of units, rows and words, before and after.

    >>> pruned = prune(Dataset.load("sample", limit=100), keep_medoids="none")
    >>> bool(pruned.dropped["kept"].any())
    False
    """

    data: Dataset
    settings: PruneSection
    summary: Mapping[str, Any]
    artifact: Artifact

    def __repr__(self) -> str:
        kept, units = self.summary["num_kept"], self.summary["num_units"]
        words, of = self.summary["num_words_kept"], self.summary["num_words"]
        return (
            f"{self.data.name}, pruned by {self.settings.policy.name}: {kept:,} of {units:,} {self.summary['level']}s "
            f"and {words:,} of {of:,} words are kept"
        )

    @property
    def decisions(self) -> Any:
        """One row a sentence (or row), as a DataFrame: its text, importance, whether it is kept, and the reason."""
        return pq.read_table(self.artifact.file("decisions.parquet")).to_pandas()

    @property
    def dropped(self) -> Any:
        """The decisions about what was dropped."""
        found = self.decisions
        return found[~found["kept"]]

    @property
    def pruner(self) -> Pruner:
        """Shortens new texts by the same words and threshold."""
        return Pruner.load(self.artifact.file("pruner.json").parent)

    def to_pandas(self) -> Any:
        """As `decisions`."""
        return self.decisions


def distill(
    teacher: Teacher | Sequence[Teacher] | None,
    data: Dataset | Pruned,
    *,
    student: Encoder | Architecture | StudentSettings | None = None,
    method: Method | None = None,
    train: Mapping[str, Any] | TrainSettings | None = None,
    store: str = "store",
    engine: EngineChoice | None = None,
    **sections: Any,
) -> Student:
    """Distill a student; what is in the store already is reused.

    Args:
        teacher: One or several; None trains the student on hard labels alone.
        data: The rows; of a `Pruned`, the student is trained on the pruned texts.
        student: None takes three layers of the first teacher, spread from its bottom to its top, or those of `minilm`
            where there is no teacher, or the first one is a file of predictions. The layers of a fine-tuned teacher
            have learned from the corpus already; `compare` trains controls that separate this effect from distillation.
        method: None is vanilla KD, or fine-tuning where there is no teacher.
        train: Settings of the student's training, such as `{"epochs": 2, "learning_rate": 1e-4}`.
        store: Folder or URI that keeps everything that is made.
        engine: `engines.Local()` (the default) or `engines.Ray()`.
        sections: Further sections of a run, such as `outputs={"quality_check": False}`.

    Raises:
        ConfigError: The settings do not fit together, or the data cannot be used.
        RunError: The training failed.

    >>> from kdray.models import NaiveBayes
    >>> student = distill(None, Dataset.load("sample", limit=100), student=NaiveBayes())
    >>> student.predict_proba([("A man sleeps.", "A man is awake.")]).shape
    (1, 2)
    """
    run = run_of(teacher, data, student=student, method=method, train=train, store=store, sections=sections, of=distill)
    with chosen_engine(engine).start(run.work) as running:
        context = Context(Store(run.store), running, kdray_data())
        prepared = prepare(run, context)
        artifact = distill_stage(run, prepared, context)
    return Student(*trained_parts(artifact, prepared.corpus, context.store, prepared.pruned_corpus))


def prune(
    data: Dataset,
    *,
    policy: Any = "lower_tail",
    embedders: str = "minilm",
    store: str = "store",
    engine: EngineChoice | None = None,
    **settings: Any,
) -> Pruned:
    """Prune the training texts sentence by sentence (or row by row).

    Args:
        policy: The name of a policy, or its settings as a mapping.
        embedders: The encoder whose embeddings make the graph; not needed with `keep_medoids="none"`.
        settings: Further settings of `prune`, such as `level="sentence"`.

    Raises:
        ConfigError: The settings do not fit together.

    >>> pruned = prune(Dataset.load("sample", limit=100), keep_medoids="none")
    >>> len(pruned.dropped) + int(pruned.decisions["kept"].sum()) == pruned.summary["num_units"]
    True
    """
    check_object("data", data, (Dataset,), "a kd.Dataset, such as kd.Dataset.from_files(...)")
    chosen = {"policy": policy, **settings}
    if chosen.get("keep_medoids") != "none":
        chosen["embedders"] = embedders
    section = checked(PruneSection, chosen)
    run = RunConfig(store=store, corpus=data.settings, prune=section, teachers=(), method=FineTune())
    with chosen_engine(engine).start(run.work) as running:
        context = Context(Store(store), running, kdray_data())
        artifact = prepare(run, context).pruned_corpus
    if artifact is None:
        raise ConfigError("prune.policy = none removes nothing; choose another policy, such as lower_tail.")
    return Pruned(data, section, dict(artifact.summary), artifact)


def _check_sections(sections: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Refuse a section of settings that is a misspelled argument of the function that takes them.

    Raises:
        ConfigError: A run has no such section, and the function has an argument of a similar name.

    >>> _check_sections({"engines": None}, distill)
    Traceback (most recent call last):
        ...
    kdray.errors.ConfigError: kd.distill has no argument engines; did you mean engine?
    """
    for name in sections.keys() - RunConfig.model_fields.keys():
        if near := did_you_mean(name, signature(function).parameters, otherwise=""):
            raise ConfigError(f"kd.{function.__name__} has no argument {name}; {near}")


def run_of(
    teacher: Teacher | Sequence[Teacher] | None,
    data: Dataset | Pruned,
    *,
    student: Encoder | Architecture | StudentSettings | None,
    method: Any,
    train: Mapping[str, Any] | TrainSettings | None,
    store: str,
    sections: Mapping[str, Any],
    of: Callable[..., Any],
) -> RunConfig:
    """The settings of a run from the objects of the API.

    Args:
        of: The function that takes them.
    """
    _check_sections(sections, of)
    if method is not None and not isinstance(method, Method):
        raise ConfigError("method: pass an object such as kd.methods.KD(), or of a class derived from kd.Method.")
    teachers = _teachers(teacher, f"kd.{of.__name__}")
    check_object(
        "data", data, (Dataset, Pruned), "a kd.Dataset, such as kd.Dataset.from_files(...), or what kd.prune made"
    )
    if student is None:
        student = FROM_TEACHER if teachers and teachers[0].predictions is None else FROM_ENCODER
    kinds = (Encoder, Architecture, StudentSettings)
    check_object("student", student, kinds, "kd.Encoder(...), or an architecture of kdray.models")
    corpus, section = (data.data, data.settings) if isinstance(data, Pruned) else (data, NOTHING)
    return checked(
        RunConfig,
        {
            "store": store,
            "corpus": corpus.settings,
            "prune": section,
            "teachers": tuple(each.settings for each in teachers),
            "student": _student(student),
            "method": method or (KD() if teachers else FineTune()),
            "train": train if isinstance(train, TrainSettings) else mapping_of("train", train),
            **sections,
        },
    )


def _teachers(given: Any, function: str) -> tuple[Teacher, ...]:
    """One, several or none.

    Raises:
        ConfigError: Something else is given.
    """
    if isinstance(given, Dataset | Pruned):
        raise ConfigError(f"teacher: found a {type(given).__name__}; {function} takes the teacher before the data.")
    several: Any = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    teachers = () if given is None else tuple(several)
    for each in teachers:
        check_object("teacher", each, (Teacher,), "kd.Teacher(...), one by kd.Teacher.from_pretrained, or None")
    return teachers


def _student(given: Encoder | Architecture | StudentSettings) -> StudentSettings:
    if isinstance(given, Architecture):
        return StudentSettings.model_validate({"architecture": given})
    return given.settings if isinstance(given, Encoder) else given
