"""Digests: every setting that changes a result changes the digest of its stage, every other one changes none.

Nothing is trained: a store that only plans takes every artifact but the corpus as made.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import tiny
from kdray.prune.policies import Policy
from pydantic import BaseModel

from kdray.config import RunConfig, merge, parse
from kdray.methods import METHODS
from kdray.stages import Context, InProcess, assistant_of, distil, prepare
from kdray.store import Artifact, Store, digest_of

OTHER, TUNED, FOLDER, COPY = "the other encoder", "a fine-tuned classifier", "the corpus", "a copy of the corpus"
FINE_TUNING = {"method": {"name": "finetune"}, "teachers.0.init_from": None}
SEVERAL = {"prune.level": "sentence"}
TRAIN: dict[str, Any] = {
    "epochs": 2, "batch_size": 4, "accumulate": 2, "learning_rate": 1e-4, "weight_decay": 0.5, "warmup": 0.5,
    "clip": 0.5, "max_length": 16, "precision": "bf16", "patience": 1, "keep": "last", "seed": 1,
}  # fmt: skip
CORPUS: dict[str, Any] = {
    "columns": {"label": "flag", "id": "id"},
    "fields": [{"name": "text", "role": "query"}, {"name": "other", "role": "context"}],
    "labels": ["positive", "negative"], "metrics": ["macro_f1"], "select_fraction": 0.3, "group_by": "other",
    "split_seed": 1, "limit": 40,
}  # fmt: skip


def under(prefix: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in changes.items()}


# The stage whose digest changes, and another value for each setting of it; beside a value what it needs to be allowed.
COUNTS: dict[str, dict[str, Any]] = {
    "corpus": under("corpus", CORPUS),
    "prune": {
        "prune.policy": "literal", "prune.level": "example", "prune.stats": "split", "prune.protect": "nn",
        "prune.num_clusters": (3, {"prune.protect": "kmeans"}), "prune.min_keep": (2, SEVERAL),
        "prune.min_per_class": (2, {"prune.level": "example"}), "prune.max_prune_rate": 0.25, "prune.score": "mean",
        "prune.edge": "mean_cosine", "prune.prune_pairs": (True, SEVERAL), "prune.embedders": OTHER,
        "prune.duplicates": {"action": "drop"}, **under("prune.duplicates", {
            "threshold": (0.5, {"prune.duplicates": {"action": "drop"}}),
            "action": ("report", {"prune.duplicates": {"action": "drop"}}),
            "keep": ("first", {"prune.duplicates": {"action": "drop"}}),
            "min_per_class": (2, {"prune.duplicates": {"action": "drop"}}),
        }),
    },
    "teach": {
        "teachers": [{"name": "u"}], "teachers.0.encoder": OTHER, "teachers.0.layers": 3,
        "teachers.0.fine_tuned": (True, {"teachers.0.encoder": TUNED, **FINE_TUNING}),
        "teachers.0.classes": (["positive", "negative"], FINE_TUNING), "teachers.0.init_from": None,
        "teachers.0.init_from.merge": {"negative": "positive", "positive": "negative"},
        **under("teachers.0.init_from.corpus", CORPUS | {"labels": (["positive", "negative"], {}), "metrics": ["macro_f1"]}),
        **under("teachers.0.init_from.train", TRAIN), **under("teachers.0.train", TRAIN),
        "teaching": ("joint", {"teachers.1.layers": 3, "teachers.0.init_from": None}),
    },
    "outputs": {"outputs.preflight": True},
    "assist": {
        "assistant.init": "bottom", **under("assistant.train", TRAIN),
        **under("assistant.method", {
            "temperature": 2.0, "alpha": 0.25, "kd_term": ("mse", {}), "t2_scaling": False,
            "direction": "reverse", "reduction": "elementmean",
        }),
    },
    "distil": {
        "outputs.access": "online", "outputs.teacher_view": "pruned", "student.encoder": OTHER, "student.layers": 2,
        "student.init": "skip", "student.init_from": "teacher", "method": {"temperature": 2.0}, **under("train", TRAIN),
    },
}  # fmt: skip

# What changes no result, and why.
COUNTS_NOT: dict[str, tuple[Any, str]] = {
    "store": ("elsewhere", "where results lie"),
    "corpus.path": (COPY, "the rows themselves are in the digest"),
    "teachers.0.init_from.corpus.path": (COPY, "the rows themselves are in the digest"),
    "teachers.0.name": ("renamed", "what it is called in logs and tables"),
    **{
        f"{where}.checkpoint_steps": (5, "how often a training is saved")
        for where in ("train", "assistant.train", "teachers.0.train", "teachers.0.init_from.train")
    },
    **{
        f"work.{name}": (value, "where and how wide things run")
        for name, value in {"workers": 2, "cpus": 2, "gpus": 0.5, "actors": 2, "block_rows": 2048, "retries": 0}.items()
    },
}
# A corpus by another name is another set of rows, or the same one.
NAMES = {
    "corpus.name",
    "teachers.0.init_from.corpus.name",
    "teachers.0.init_from.corpus",
    "assistant.method",
    "assistant.method.name",
}
SECTIONS = {
    "corpus",
    "prune",
    "outputs",
    "assistant",
    "assistant.train",
    "student",
    "train",
    "work",
    "teachers.0.train",
}
SECTIONS |= {"teachers.0.init_from.train"}


class PlannedArtifact(Artifact):
    @property
    def folder(self) -> Path:
        return self.path


class Planned(Store):
    """Takes every artifact but a corpus as made, with a model and rows that are always the same."""

    def __init__(self, folder: Path, model: Path) -> None:
        super().__init__(str(folder))
        self._made: dict[str, Artifact] = {}
        self._model, self._corpus, self._folder = model, "", folder

    def find(self, stage: str, name: str, digest: str) -> Artifact | None:
        return self._made.get(digest) or super().find(stage, name, digest)

    def make(self, stage: str, name: str, *, settings: Any, inputs: Any, build: Any) -> tuple[Artifact, bool]:
        if stage == "corpus":
            return super().make(stage, name, settings=settings, inputs=inputs, build=build)
        digest = digest_of(stage, settings=settings, inputs=inputs)
        folder = self._folder / "planned" / digest
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "model").symlink_to(self._model)
            spec = {key: settings[key] for key in ("labels", "train") if key in settings}
            (folder / "result.json").write_text(json.dumps({"spec": spec}))
            if stage == "prune":
                rows = next((self._folder / "corpus").glob("*"))
                shutil.copy(rows / "corpus.json", folder)
        manifest = {"seconds": 0.0, "summary": {"level": "sentence"}}
        self._made[digest] = PlannedArtifact(stage, name, digest, folder, f"{stage}/{name}", manifest, lambda: None)
        return self._made[digest], False


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("places")
    rows = [
        tiny.opinion(i) | {"other": f"a film {i // 2}", "flag": ("positive", "negative")[i // 2 % 2]} for i in range(60)
    ]
    for place in ("rows", "copy/rows"):
        (folder / place).mkdir(parents=True)
        for split, some in (("train", rows[:48]), ("test", rows[48:])):
            (folder / place / f"{split}.jsonl").write_text("\n".join(map(json.dumps, some)))
    return {
        "encoder": str(tiny.save_encoder(folder / "encoder")),
        OTHER: str(tiny.save_encoder(folder / "other", seed=3)),
        TUNED: str(tiny.save_fine_tuned(folder / "tuned", tiny.classifier(seed=1), tiny.LABELS)),
        FOLDER: str(folder / "rows"),
        COPY: str(folder / "copy" / "rows"),
    }


@pytest.fixture(scope="module")
def base(places: dict[str, str]) -> dict[str, Any]:
    fields = [{"name": "text", "role": "context"}, {"name": "other", "role": "query"}]
    corpus = tiny.opinions(Path(places[FOLDER])) | {"fields": fields}
    train = tiny.training(3, batch_size=8)
    between = {"corpus": corpus, "merge": {}, "train": train}
    settings = {
        "corpus": corpus,
        "teachers": [
            {"name": "t", "encoder": places["encoder"], "init_from": between, "train": train},
            {"name": "u", "encoder": places["encoder"], "train": train},
        ],
        "prune": {"policy": "lower_tail", "embedders": places["encoder"]},
        "assistant": {"train": train},
        "outputs": {"preflight": False},
        "student": {"encoder": places["encoder"], "layers": 1},
        "method": {"name": "dekd"},
        "train": train,
    }
    return parse(settings, source="test").model_dump(mode="json")


def digests(plain: Mapping[str, Any], places: Mapping[str, str], folder: Path) -> dict[str, set[str]]:
    """The digests of every stage of a run, and under `store` where they would lie."""
    run = parse(plain, source="test")
    context = Context(Planned(folder, Path(places[TUNED])), InProcess(), None)
    prepared = prepare(run, context, every_teacher=True)
    assistant_of(run, prepared, context)
    distil(run, prepared, context)
    found: dict[str, set[str]] = {}
    for entry in context.journal:
        found.setdefault(entry["stage"], set()).add(entry["digest"])
    return found


def keys_of(record: type[BaseModel], where: str = "") -> Iterator[str]:
    """The dotted key of every setting, sections too; settings of a method or policy are looked at by themselves."""
    for name, field in record.model_fields.items():
        key = f"{where}{name}"
        yield key
        if key in ("method", "prune.policy"):
            continue
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from keys_of(inner, f"{key}.0." if key == "teachers" else f"{key}.")


def test_every_setting_is_classified() -> None:
    classified = {key for stage in COUNTS.values() for key in stage} | set(COUNTS_NOT) | NAMES | SECTIONS
    assert set(keys_of(RunConfig)) ^ classified == set()


CASES = [(stage, key, value) for stage, changes in COUNTS.items() for key, value in changes.items()]


@pytest.mark.parametrize(("stage", "key", "value"), CASES, ids=[case[1] for case in CASES])
def test_a_setting_that_counts_changes_its_stages_digest(
    stage: str, key: str, value: Any, base: dict[str, Any], places: dict[str, str], tmp_path: Path
) -> None:
    value, needed = value if isinstance(value, tuple) else (value, {})
    needed = {name: places.get(str(given), given) for name, given in needed.items()}
    before = merge(base, needed)
    after = merge(before, {key: places.get(str(value), value)})
    assert after != before
    assert digests(before, places, tmp_path / "a")[stage] != digests(after, places, tmp_path / "b")[stage]


@pytest.mark.parametrize("key", COUNTS_NOT)
def test_a_setting_that_counts_not_changes_no_digest(
    key: str, base: dict[str, Any], places: dict[str, str], tmp_path: Path
) -> None:
    value, _ = COUNTS_NOT[key]
    after = merge(base, {key: places.get(str(value), value)})
    assert after != base
    assert digests(base, places, tmp_path / "a") == digests(after, places, tmp_path / "b")


@pytest.mark.parametrize("record", [*METHODS, *get_args(get_args(Policy)[0])], ids=lambda record: record.__name__)
def test_every_setting_of_a_method_or_policy_is_written_into_the_digest(record: type[BaseModel]) -> None:
    """Both are dumped as a whole; what is left out of a dump would be left out of the digest."""
    needed = {"rho": 0.5} if "rho" in record.model_fields else {}
    assert set(record.model_validate(needed).model_dump(mode="json")) == set(record.model_fields)
