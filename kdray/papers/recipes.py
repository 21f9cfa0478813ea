"""What reproduces a table: the corpus of each column, the settings of each row, and how much of it a scale runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kdray.errors import ConfigError

Scale = Literal["smoke", "cpu", "full"]


LAYERS = "student.layers"


@dataclass(frozen=True)
class Recipe:
    """How a table is reproduced.

    Attributes:
        columns: Column to the section `corpus` of a run.
        rows: Row to dotted settings that change the run; layers are those of the paper, whose teachers have twelve.
        layers: Of the student, where a row has none.
        second: The second teacher's hub id at the scale `full`; None is the first one with another seed.
        epochs, learning_rate: The paper's.
    """

    columns: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, Mapping[str, Any]]
    layers: int = 6
    second: str | None = None
    teachers: int = 2
    epochs: int = 3
    learning_rate: float = 2e-5
    method: Mapping[str, Any] = field(default_factory=lambda: {"name": "kd"})


def _method(name: str, **settings: Any) -> dict[str, Any]:
    return {"method": {"name": name, **settings}}


_S0_COLUMNS = {"MNLI-m": "mnli", "MRPC": "mrpc", "RTE": "rte", "SST-2": "sst2"}
_F1 = {"metrics": ["f1", "accuracy"]}
_DEKD: dict[str, dict[str, Any]] = {
    "DeKD": {},
    "w/o DS": {"method.r": 1.0},
    "w/o TA": {"method.assistant": False},
    "w/o DOA": {"method.lambda3": 0.0},
}
_INTEGRATION = {name.upper(): _method(name) for name in ("dfa", "cfl", "uhc", "muki")}
_S1_METHODS = {
    "Vanilla KD": _method("kd"),
    "BERT-PKD": _method("pkd", alpha=0.5, temperature=5.0),
    **_INTEGRATION,
    "KSM": _method("ksm"),
    "DeKD": _method("dekd"),
}

RECIPES: Mapping[str, Recipe] = {
    "s0-table4": Recipe(
        columns={name: {"name": corpus} for name, corpus in _S0_COLUMNS.items()},
        rows={
            "Rand-Single-Ensemble": _method("ens_rand"),
            "W-Ensemble": _method("ens_w"),
            "LR-Dev-Ensemble": _method("ens_lr_dev"),
            "Best-Single-Ensemble": _method("ens_best"),
            "MT-BERT-Ensemble": _method("mtbert", tokens="cls"),
            "RL-KD (reward 1)": _method("rlkd", reward_number=1),
            "RL-KD (reward 2)": _method("rlkd", reward_number=2),
            "RL-KD (reward 3)": _method("rlkd", reward_number=3),
            "Our Method": {**_method("ckdsp", combine_teachers="rlkd"), "prune": {"policy": "lower_tail"}},
        },
        second="roberta-base",
        epochs=4,
        method={"name": "ens_u"},
    ),
    "s1-table3": Recipe(
        columns={
            "MRPC": {"name": "mrpc", **_F1},
            "SST-2": {"name": "sst2"},
            "QNLI": {"name": "qnli"},
            "MNLI": {"name": "mnli"},
            "AG News": {"name": "ag_news"},
            "QQP": {"name": "qqp"},
            "Emotion": {"name": "emotion"},
            "IMDb": {"name": "imdb"},
        },
        rows={
            f"{name}, {layers} layers": {**settings, LAYERS: layers}
            for layers in (3, 6)
            for name, settings in _S1_METHODS.items()
        },
    ),
    "s1-table4": Recipe(
        columns={"MRPC": {"name": "mrpc", **_F1}, "SST-2": {"name": "sst2"}, "IMDb": {"name": "imdb"}},
        rows=_DEKD,
        teachers=1,
        method={"name": "dekd"},
    ),
    "s1-table5": Recipe(
        columns={"SST-2": {"name": "sst2"}, "IMDb": {"name": "imdb"}},
        rows={
            **{name: _INTEGRATION[name] for name in ("UHC", "MUKI")},
            "KSM": _method("ksm"),
            "Ours": _method("dekd"),
        },
    ),
}


@dataclass(frozen=True)
class Size:
    """How much of a table a scale runs.

    Attributes:
        corpus: Replaces the columns' own; None keeps them.
        limit: Rows of train; None is all.
        encoder: Of the teachers.
        layers: A student's share of the teachers' layers is that of the paper; so many layers a teacher has.
        seeds: Of every student.
        train: Sections of the run's training that replace the recipe's.
        differs: What differs from the paper, in words.
    """

    corpus: Mapping[str, Any] | None
    limit: int | None
    encoder: str
    layers: int
    seeds: int
    train: Mapping[str, Any]
    differs: Sequence[str]

    def of(self, layers: int) -> int:
        """A student's layers, of the paper's number."""
        return max(1, layers * self.layers // 12)


SIZES: Mapping[Scale, Size] = {
    "smoke": Size(
        {"name": "sample"},
        200,
        "minilm",
        6,
        1,
        {"epochs": 1, "learning_rate": 3e-4, "batch_size": 16, "max_length": 64},
        (
            "the sample that ships with kdray in place of each corpus",
            "teachers of six layers (MiniLM)",
            "one epoch of 200 rows",
        ),
    ),
    "cpu": Size(
        None,
        2000,
        "minilm",
        6,
        3,
        {"epochs": 2, "learning_rate": 1e-4, "max_length": 64},
        ("at most 2,000 rows of train", "MiniLM, teachers and students of half the paper's layers", "two epochs"),
    ),
    "full": Size(None, None, "bert-base-uncased", 12, 5, {"batch_size": 32, "max_length": 128}, ()),
}


def run_settings(recipe: Recipe, column: str, scale: Scale) -> dict[str, Any]:
    """The sections of the run behind one column."""
    size = SIZES[scale]
    corpus = dict(size.corpus or recipe.columns[column])
    if size.limit:
        corpus["limit"] = size.limit
    train = {"epochs": recipe.epochs, "learning_rate": recipe.learning_rate, **size.train}
    full = scale == "full"
    second = recipe.second if full and recipe.second else size.encoder
    encoders = [size.encoder, second][: recipe.teachers]
    teachers = [
        {"name": f"teacher{k}", "encoder": each, "train": {**train, "seed": k}} for k, each in enumerate(encoders)
    ]
    return {
        "corpus": corpus,
        "teachers": teachers,
        "student": {"encoder": size.encoder, "layers": size.of(recipe.layers)},
        "assistant": {"train": train},
        "outputs": {"quality_check": scale != "smoke"},  # one epoch on 200 rows teaches a teacher nothing
        "train": train,
        "method": dict(recipe.method),
        "prune": {"policy": "none"},
    }


def variants(recipe: Recipe, scale: Scale) -> dict[str, dict[str, Any]]:
    """Row to dotted settings that change the run of a column."""
    return {
        row: {key: SIZES[scale].of(value) if key == LAYERS else value for key, value in settings.items()}
        for row, settings in recipe.rows.items()
    }


def recipe_of(name: str) -> Recipe:
    """
    Raises:
        ConfigError: kdray cannot run this one yet.
    """
    if name not in RECIPES:
        raise ConfigError(f"{name} is listed but cannot be run yet; allowed are {', '.join(RECIPES)}.")
    return RECIPES[name]
