"""The named tasks: their fields, classes, metrics, official sizes, and the role of each split.

Column names, class order and split names are those of the data sets on the Hugging Face hub. Field roles follow
S0 section 3.1 (what may be pruned); the choice of splits follows the practice for GLUE, whose test labels are hidden:
the official dev split is the test split, and validation rows are held out from train.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from kdray.tasks import tags_of

Role = Literal["context", "query", "body", "pair"]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
LANGUAGE = "language"  # the column of a stored corpus, where the language of rows counts
UNLABELED = -1  # how GLUE writes a hidden label


@dataclass(frozen=True)
class Field:
    """One text of a row. `context` and `body` may be pruned, `query` never, `pair` only on request."""

    name: str
    role: Role


@dataclass(frozen=True)
class HubSource:
    """Where a task's data set lies on the Hugging Face hub. `config` is None where the repository has only one."""

    repo: str
    config: str | None = None


@dataclass(frozen=True)
class Task:
    """What a row of a task looks like, and where its splits come from.

    Attributes:
        name: as the user writes it.
        fields: one or two texts, in the order in which the tokenizer sees them.
        labels: class names; the position is the class number.
        metrics: the first one is used for selection, the others are reported too.
        full_rows: rows of each official split, hidden-label splits left out; empty where there is no official size.
        test_split: the official split for reporting, never used for selection.
        validation_split: the official split for selection, or None if it is held out from train.
        validation_fraction: the fraction of train that is held out if `validation_split` is None; in (0, 0.5].
        group_by: the field by which rows are kept together when validation is held out, or None.
        group_phrases: whether rows of train are phrases of sentences, which are kept together then.
        extra_train: further training splits, used if available.
        extra_test: further test splits by kdray's name for them, used if available.
        hub: where the hub has it, or None.
        kind: what is learned from the labels, a task of `kdray.tasks`.
        language: the column with the language of each row, or None where it does not count.
        columns: as the setting, where a column has another name than its field or `label`.
        tags: as the setting.
    """

    name: str
    fields: tuple[Field, ...]
    labels: tuple[str, ...]
    metrics: tuple[str, ...] = ("accuracy",)
    full_rows: Mapping[str, int] = field(default_factory=dict[str, int])
    test_split: str = "validation"
    validation_split: str | None = None
    validation_fraction: float = 0.1
    group_by: str | None = None
    group_phrases: bool = False
    extra_train: tuple[str, ...] = ()
    extra_test: Mapping[str, str] = field(default_factory=dict[str, str])
    hub: HubSource | None = None
    kind: str = "single_label"
    language: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    tags: Literal["strict", "mend"] = "strict"

    @property
    def num_classes(self) -> int:
        return len(self.labels)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.fields)

    @property
    def labels_are_numbers(self) -> bool:
        """Whether a number in a file can only be a class name: stars of 1 to 5, not 0 and 1."""
        return any(name.lstrip("-").isdecimal() and name != str(i) for i, name in enumerate(self.labels))

    @property
    def needed_splits(self) -> tuple[str, ...]:
        """The official splits without which the task cannot be read."""
        return ("train", *([self.validation_split] if self.validation_split else []), self.test_split)

    @property
    def optional_splits(self) -> tuple[str, ...]:
        return (*self.extra_train, *self.extra_test.values())


def _sizes(train: int, validation: int | None = None, test: int | None = None) -> dict[str, int]:
    given = {"train": train, "validation": validation, "test": test}
    return {split: rows for split, rows in given.items() if rows is not None}


_ENTAILMENT = (Field("sentence1", "context"), Field("sentence2", "query"))
_ENTAILMENT_LABELS = ("entailment", "not_entailment")
_TEXT = (Field("text", "body"),)


def _glue(name: str) -> HubSource:
    return HubSource("nyu-mll/glue", name)


def _ner(
    name: str,
    types: str,
    *,
    tags: Literal["strict", "mend"] = "strict",
    hub: str = "",
    language: str | None = None,
    **sizes: int,
) -> Task:
    """A data set of named entities, with the columns `tokens` and `ner_tags`."""
    has_test = "test" in sizes or not sizes
    return Task(
        name,
        (Field("tokens", "body"),),
        tags_of(types.split()),
        metrics=("entity_f1",),
        full_rows=sizes,
        test_split="test" if has_test else "validation",
        validation_split="validation" if has_test else None,
        hub=HubSource(hub) if hub else None,
        kind="token_classification",
        language=language,
        columns={"label": "ner_tags"},
        tags=tags,
    )


# Sizes: S0 table 1 and S1 table 2, except QQP's train split: the hub's copy has 363,846 rows, the tables have 363,849.
_ALL = (
    Task("rte", _ENTAILMENT, _ENTAILMENT_LABELS, full_rows=_sizes(2_490, 277), hub=_glue("rte")),
    Task(
        "sst2",
        (Field("sentence", "body"),),
        ("negative", "positive"),
        full_rows=_sizes(67_349, 872),
        group_phrases=True,
        hub=_glue("sst2"),
    ),
    Task(
        "mrpc",
        (Field("sentence1", "pair"), Field("sentence2", "pair")),
        ("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1"),
        full_rows=_sizes(3_668, 408),
        hub=_glue("mrpc"),
    ),
    Task(
        "qnli",
        (Field("question", "query"), Field("sentence", "context")),
        _ENTAILMENT_LABELS,
        full_rows=_sizes(104_743, 5_463),
        hub=_glue("qnli"),
    ),
    Task(
        "qqp",
        (Field("question1", "pair"), Field("question2", "pair")),
        ("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        full_rows=_sizes(363_846, 40_430),
        hub=_glue("qqp"),
    ),
    Task(
        "mnli",
        (Field("premise", "context"), Field("hypothesis", "query")),
        ("entailment", "neutral", "contradiction"),
        full_rows={"train": 392_702, "validation_matched": 9_815, "validation_mismatched": 9_832},
        test_split="validation_matched",
        extra_train=("train_extra",),
        extra_test={"report_mm": "validation_mismatched"},
        hub=_glue("mnli"),
    ),
    Task(
        "cola",
        (Field("sentence", "body"),),
        ("unacceptable", "acceptable"),
        metrics=("matthews",),
        full_rows=_sizes(8_551, 1_043),
        hub=_glue("cola"),
    ),
    Task(
        "emotion",
        _TEXT,
        ("sadness", "joy", "love", "anger", "fear", "surprise"),
        full_rows=_sizes(16_000, 2_000, 2_000),
        test_split="test",
        validation_split="validation",
        hub=HubSource("dair-ai/emotion", "split"),
    ),
    Task(
        "ag_news",
        _TEXT,
        ("World", "Sports", "Business", "Sci/Tech"),
        full_rows=_sizes(120_000, test=7_600),
        test_split="test",
        validation_fraction=0.05,
        hub=HubSource("fancyzhx/ag_news"),
    ),
    Task(
        "imdb",
        _TEXT,
        ("neg", "pos"),
        full_rows=_sizes(25_000, test=25_000),
        test_split="test",
        validation_fraction=0.2,  # 5,000 of 25,000, S1 table 2
        hub=HubSource("stanfordnlp/imdb"),
    ),
    Task(
        "stsb",
        (Field("sentence1", "pair"), Field("sentence2", "pair")),
        ("similarity",),
        metrics=("pearson", "spearman"),
        full_rows=_sizes(5_749, 1_500),
        hub=_glue("stsb"),
        kind="regression",
    ),
    Task(
        "sib200",
        _TEXT,
        ("science/technology", "travel", "politics", "sports", "health", "entertainment", "geography"),
        test_split="test",
        validation_split="validation",
        language="lang",
    ),
    Task(
        "umsab",
        _TEXT,
        ("negative", "neutral", "positive"),
        metrics=("macro_f1", "accuracy"),
        full_rows=_sizes(14_712, 2_592, 6_960),
        test_split="test",
        validation_split="validation",
        language="lang",
    ),
    Task(
        "europarl_lid",
        _TEXT,
        tuple("bg cs da de el en es et fi fr hu it lt lv nl pl pt ro sk sl sv".split()),  # noqa: SIM905
        test_split="test",
        validation_split="validation",
    ),
    Task(
        "phishing_url",
        _TEXT,
        ("benign", "phishing"),
        metrics=("accuracy", "f1"),
        test_split="test",
        validation_split="validation",
    ),
    Task(
        "webkb",
        _TEXT,
        ("course", "department", "faculty", "project", "staff", "student", "other"),
        metrics=("accuracy", "macro_f1"),
        test_split="test",
        validation_split="validation",
    ),
    _ner("conll2003", "PER ORG LOC MISC", hub="eriktks/conll2003", train=14_041, validation=3_250, test=3_453),
    _ner(
        "wnut17",
        "corporation creative-work group location person product",
        hub="leondz/wnut_17",
        train=3_394,
        validation=1_009,
        test=1_287,
    ),
    _ner("resume_ner", "CONT EDU LOC NAME ORG PRO RACE TITLE", tags="mend", train=3_821, validation=463, test=477),
    _ner(
        "weibo_ner",
        " ".join(f"{kind}.{name}" for kind in ("PER", "ORG", "LOC", "GPE") for name in ("NAM", "NOM")),
        tags="mend",
        train=1_350,
        validation=270,
        test=270,
    ),
    _ner(  # the labels of its test split are hidden
        "cluener",
        "address book company game government movie name organization position scene",
        train=10_748,
        validation=1_343,
    ),
    _ner("msra_ner", "PER ORG LOC", train=45_000, test=3_442),
    _ner("panx", "PER ORG LOC", tags="mend", language="lang"),
    Task("sample", _ENTAILMENT, _ENTAILMENT_LABELS, group_by="sentence2"),
)

TASKS: Mapping[str, Task] = {task.name: task for task in _ALL}
