"""What reproduces a table: the corpus of each column, the settings of each row, and how much of it a scale runs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from kdray.errors import ConfigError

Scale = Literal["smoke", "cpu", "full"]


LAYERS, ENCODER, ASSISTANT = "student.layers", "student.encoder", "method.ta_depth"
BERT, BERT_LARGE, ROBERTA = "bert-base-uncased", "bert-large-uncased", "roberta-base"
DISTILBERT = "distilbert-base-uncased"


@dataclass(frozen=True)
class Recipe:
    """How a table is reproduced.

    Attributes:
        corpora: Column to the section `corpus` of a run; row, where the columns are `effects`.
        rows: Row to dotted settings that change the run, as at the scale `full`; `teachers` of a row are hub ids, too.
        effects: Column to what it takes of the effect of pruning on a student (`kdray.stages.effect`).
        teachers: Hub ids; equal ones have other seeds.
        alone: Row to the teacher whose own score it is.
        shallow: At the smaller scales, which of the teachers keep only so many layers, so that the others are stronger.
        layers: Of the student, where a row has none.
        epochs, learning_rate: The paper's.
        differs: What differs from the paper at every scale, in words.
    """

    corpora: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    effects: Mapping[str, Callable[[Mapping[str, float]], float]] = field(default_factory=dict)
    teachers: Sequence[str] = (BERT, BERT)
    alone: Mapping[str, str] = field(default_factory=dict[str, str])
    shallow: Mapping[str, int] = field(default_factory=dict[str, int])
    layers: int = 6
    epochs: int = 3
    learning_rate: float = 2e-5
    method: Mapping[str, Any] = field(default_factory=lambda: {"name": "kd"})
    prune: str = "none"
    differs: Sequence[str] = ()


def _method(name: str, **settings: Any) -> dict[str, Any]:
    return {"method": {"name": name, **settings}}


STRATEGIES = ("entropy", "random", "least_confidence", "margin")
RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)
EVERY_ROW = {"method.r": 1.0, "method.strategy": "entropy", "method.ce_on": "all"}  # the others have no effect then
DEKD_PARTS: Mapping[str, Mapping[str, Any]] = {
    "DeKD": {},
    "DeKD without data selection": EVERY_ROW,
    "DeKD without assistant": {"method.assistant": False, ASSISTANT: None},
    "DeKD without layer alignment": {"method.lambda3": 0.0, "method.granularity": "batch"},
}


def selection_ratios(strategies: Sequence[str] = STRATEGIES) -> dict[str, Mapping[str, Any]]:
    """DeKD with each strategy and share of rows; where every row is selected, all strategies are one."""
    pairs = [(strategy, r) for strategy in strategies for r in RATIOS]
    ratios = {f"{strategy}, r = {r:g}": {"method.strategy": strategy, "method.r": r} for strategy, r in pairs}
    return {**ratios, "r = 1": EVERY_ROW}


_GLUE = {"RTE": "rte", "QQP": "qqp", "QNLI": "qnli", "SST-2": "sst2"}
_S0_COLUMNS = {"MNLI-m": "mnli", "MRPC": "mrpc", "RTE": "rte", "SST-2": "sst2"}
_F1 = {"metrics": ["f1", "accuracy"]}
_INTEGRATION = {name.upper(): _method(name) for name in ("dfa", "cfl", "uhc", "muki")}
_S1_METHODS = {
    "Vanilla KD": _method("kd"),
    "BERT-PKD": _method("pkd", alpha=0.5, temperature=5.0),
    **_INTEGRATION,
    "KSM": _method("ksm"),
    "DeKD": _method("dekd"),
}
_HALF = {"method.r": 0.5, "method.strategy": "random", "method.ce_on": "selected"}
_PRUNED = {name: {"name": _GLUE[name]} for name in ("SST-2", "RTE", "QNLI")}
_S0: dict[str, Any] = {
    "teachers": (BERT, ROBERTA),
    "epochs": 4,
    "method": {"name": "ckdsp"},
    "prune": "lower_tail",
}
CORPORA: Mapping[str, Mapping[str, str]] = {  # tables of data: row to corpus
    "s0-table1": {**_GLUE, "MNLI-m": "mnli", "MRPC": "mrpc"},
    "s1-table2": {
        "MRPC": "mrpc",
        "SST-2": "sst2",
        "QNLI": "qnli",
        "MNLI": "mnli",
        "AG News": "ag_news",
        "QQP": "qqp",
        "Emotion": "emotion",
        "IMDb": "imdb",
    },
}

RECIPES: Mapping[str, Recipe] = {
    "s0-table2": Recipe(
        corpora={name: {"name": corpus, **(_F1 if name == "QQP" else {})} for name, corpus in _GLUE.items()},
        rows={
            "BERT_BASE (teacher, 109M)": {ENCODER: BERT, LAYERS: 12},
            "DistilBERT_6 (student, 67.0M)": {ENCODER: DISTILBERT, LAYERS: 6},
            "DistilBERT_4 (student, 52.2M)": {ENCODER: DISTILBERT, LAYERS: 4},
            "BERT_LARGE (teacher, 340M)": {ENCODER: BERT_LARGE, LAYERS: 24},
            "RoBERTa (teacher, 125M)": {ENCODER: ROBERTA, LAYERS: 12},
        },
        teachers=(),
        layers=12,
        epochs=4,
        method={"name": "finetune"},
        differs=("QQP by F1, as most of its printed numbers seem to be",),
    ),
    "s0-table3": Recipe(
        corpora={name: {"name": corpus} for name, corpus in _GLUE.items()},
        rows={
            "bert-base + bert-large, bert-base-uncased": {"teachers": (BERT, BERT_LARGE), ENCODER: BERT, LAYERS: 12},
            "bert-base + roberta-base, distilbert-base-uncased_6": {
                "teachers": (BERT, ROBERTA),
                ENCODER: DISTILBERT,
                LAYERS: 6,
            },
            "bert-base + bert-large, distilbert-base-uncased_4": {
                "teachers": (BERT, BERT_LARGE),
                ENCODER: DISTILBERT,
                LAYERS: 4,
            },
        },
        **_S0,
    ),
    "s0-table4": Recipe(
        corpora={name: {"name": corpus} for name, corpus in _S0_COLUMNS.items()},
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
        teachers=(BERT, ROBERTA),
        epochs=4,
        method={"name": "ens_u"},
    ),
    "s0-table5": Recipe(
        corpora=_PRUNED,
        effects={
            "prune rate": lambda found: 1 - found["rows kept"],
            "accuracy before": lambda found: found["base accuracy"],
            "accuracy after": lambda found: found["kept accuracy"],
            "F1 before": lambda found: found["base macro F1"],
            "F1 after": lambda found: found["kept macro F1"],
        },
        **_S0,
        differs=("after pruning: whole texts, on the rows of test that the policy keeps; macro F1",),
    ),
    "s0-table6": Recipe(
        corpora=_PRUNED,
        effects={
            "before": lambda found: found["forward base ms"] / 1000,
            "after": lambda found: found["forward ms"] / 1000,
            "times faster": lambda found: found["speed-up"],
        },
        **_S0,
        differs=("the forward pass on 128 rows of test, in batches of 32, whole and with shortened texts",),
    ),
    "s0-figure1": Recipe(
        corpora={"MRPC": {"name": "mrpc"}, "MNLI-mm": {"name": "mnli"}},
        rows={"BERT3 from BERT-Base": {"teachers": (BERT,)}, "BERT3 from RoBERTa-Base": {"teachers": (ROBERTA,)}},
        alone={"BERT-Base (teacher)": BERT, "RoBERTa-Base (teacher)": ROBERTA},
        shallow={BERT: 4},
        layers=3,
        differs=("MNLI's matched rows in place of the mismatched ones",),
    ),
    "s0-figure3": Recipe(
        corpora={"accuracy": {"name": "mnli", "limit": 10_000}},
        rows={"Ours": {}, "KMeans": {"prune.keep_medoids": "kmeans"}, "GMM": {"prune.keep_medoids": "gmm"}},
        **_S0,
        differs=("at most 10,000 rows of train: the other clusterings take 20,000 units",),
    ),
    "s1-table1": Recipe(
        corpora={"SST-2": {"name": "sst2"}, "QNLI": {"name": "qnli"}},
        rows={
            f"{name}, 3-layer{part}": {"teachers": (teacher,), **settings}
            for name, teacher in (("BERT-base", BERT), ("BERT-large", BERT_LARGE))
            for part, settings in ((" (50 %)", _HALF), ("", {}))
        },
        alone={"BERT-base, 12-layer": BERT, "BERT-large, 24-layer": BERT_LARGE},
        shallow={BERT: 4},
        layers=3,
        method={"name": "dekd", "r": 1.0, "assistant": False, "lambda2": 0.5, "lambda3": 0.0},  # vanilla KD
        differs=("50 % of the rows: another random half of each batch",),
    ),
    "s1-table3": Recipe(
        corpora={
            name: {"name": corpus, **(_F1 if name == "MRPC" else {})} for name, corpus in CORPORA["s1-table2"].items()
        },
        rows={
            f"{name}, {layers} layers": {**settings, LAYERS: layers}
            for layers in (3, 6)
            for name, settings in _S1_METHODS.items()
        },
        alone={"BERT-base": BERT},
    ),
    "s1-table4": Recipe(
        corpora={"MRPC": {"name": "mrpc", **_F1}, "SST-2": {"name": "sst2"}, "IMDb": {"name": "imdb"}},
        rows=dict(zip(("DeKD", "w/o DS", "w/o TA", "w/o DOA"), DEKD_PARTS.values(), strict=True)),
        teachers=(BERT,),
        method={"name": "dekd"},
    ),
    "s1-table5": Recipe(
        corpora={"SST-2": {"name": "sst2"}, "IMDb": {"name": "imdb"}},
        rows={
            **{name: _INTEGRATION[name] for name in ("UHC", "MUKI")},
            "KSM": _method("ksm"),
            "Ours": _method("dekd"),
        },
    ),
    "s1-figure2": Recipe(
        corpora={"Emotion": {"name": "emotion"}},
        rows=selection_ratios(),
        teachers=(BERT,),
        method={"name": "dekd"},
    ),
    "s1-figure3": Recipe(
        corpora={"MRPC": {"name": "mrpc", **_F1}},
        rows={
            f"student of {layers} layers, assistant of {depth}": {LAYERS: layers, ASSISTANT: depth}
            for layers in (3, 6)
            for depth in range(layers + 1, 12)
        },
        teachers=(BERT,),
        method={"name": "dekd"},
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
            "MiniLM, teachers and students of half the paper's layers",
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


def run_settings(recipe: Recipe, corpus: str, scale: Scale, teachers: Sequence[str]) -> dict[str, Any]:
    """The sections of the run behind one corpus, with the teachers of these hub ids."""
    size = SIZES[scale]
    rows = dict(size.corpus or recipe.corpora[corpus])
    if size.limit:
        rows["limit"] = size.limit
    train = {"epochs": recipe.epochs, "learning_rate": recipe.learning_rate, **size.train}
    return {
        "corpus": rows,
        "teachers": [
            {"name": f"teacher{k}", **_teacher(recipe, each, scale), "train": {**train, "seed": k}}
            for k, each in enumerate(teachers)
        ],
        "student": {"encoder": size.encoder, "layers": size.of(recipe.layers)},
        "assistant": {"train": train},
        "outputs": {"quality_check": scale != "smoke"},  # one epoch on 200 rows teaches a teacher nothing
        "train": train,
        "method": dict(recipe.method),
        "prune": {"policy": recipe.prune},
    }


def _teacher(recipe: Recipe, name: str, scale: Scale) -> dict[str, Any]:
    if scale == "full":
        return {"encoder": name}
    kept = recipe.shallow.get(name)
    return {"encoder": SIZES[scale].encoder, **({"layers": kept} if kept else {})}


def rows_by_teachers(recipe: Recipe, scale: Scale) -> dict[Sequence[str], dict[str, dict[str, Any]]]:
    """Teachers, as hub ids, to the rows whose students learn from them: row to dotted settings that change the run.

    A row is left out where the smaller models of a scale lack its layers, or make it another row's student.
    """
    found = dict[Sequence[str], dict[str, dict[str, Any]]]()
    for row, settings in recipe.rows.items():
        changes = dict(settings)
        rows = found.setdefault(changes.pop("teachers", recipe.teachers), {})
        changed = changes if scale == "full" else _smaller(changes, SIZES[scale])
        if changed is not None and changed not in rows.values():
            rows[row] = changed
    return found


def _smaller(settings: Mapping[str, Any], size: Size) -> dict[str, Any] | None:
    """The settings of a row with the models of a scale; None where these have too few layers."""
    depths = {key: size.of(settings[key]) for key in (LAYERS, ASSISTANT) if settings.get(key)}
    if max(depths.values(), default=0) > size.layers or len(set(depths.values())) < len(depths):
        return None
    return {**settings, **depths, **({ENCODER: size.encoder} if ENCODER in settings else {})}


def recipe_of(name: str) -> Recipe:
    """
    Raises:
        ConfigError: There is nothing to train.
    """
    if name not in RECIPES:
        raise ConfigError(f"{name} has nothing to run; allowed are {', '.join(RECIPES)}.")
    return RECIPES[name]
