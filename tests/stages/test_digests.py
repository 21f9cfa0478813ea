"""Digests: every setting that changes a result changes the digest of its stage, every other one changes none.

Nothing is trained: a store that only plans takes every artifact but the corpus as made.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import tiny
from pydantic import BaseModel

from kdray.config import RunConfig, merge, parse
from kdray.corpora import CorpusSettings
from kdray.methods import METHODS
from kdray.pruning.policies import Policy
from kdray.stages import Context, InProcess, assistant_of, distill, prepare, read
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
    "labels": ["positive", "negative"], "metrics": ["macro_f1"], "validation_fraction": 0.3, "group_by": "other",
    "split_seed": 1, "limit": 40, "language_field": "flag",
}  # fmt: skip


def under(prefix: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}.{name}": value for name, value in changes.items()}


def phrases(prefix: str) -> dict[str, Any]:
    return {f"{prefix}.group_phrases": (True, {f"{prefix}.group_by": "text"})}


def folds(prefix: str) -> dict[str, Any]:
    first = {"index": 0, "of": 2}
    return {
        f"{prefix}.fold": first,
        f"{prefix}.fold.index": (1, {f"{prefix}.fold": first}),
        f"{prefix}.fold.of": (3, {f"{prefix}.fold": first}),
    }


# The stage whose digest changes, and another value for each setting of it; with a value, what it needs to be allowed.
COUNTS: dict[str, dict[str, Any]] = {
    "corpus": {
        **under("corpus", CORPUS),
        **phrases("corpus"),
        **folds("corpus"),
        "corpus.train_languages": (["positive"], {"corpus.language_field": "flag"}),
    },
    "prune": {
        "prune.policy": "literal", "prune.level": "row", "prune.fit_on": "split", "prune.keep_medoids": "nn",
        "prune.splitter": (f"{Path(__file__).parents[1] / 'prune' / 'own_splitter.py'}:lines", SEVERAL),
        "prune.num_clusters": (3, {"prune.keep_medoids": "kmeans"}), "prune.min_keep": (2, SEVERAL),
        "prune.min_per_class": (2, {"prune.level": "row"}), "prune.max_prune_rate": 0.25, "prune.score": "mean",
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
        "teachers.0.init_from.label_map": {"negative": "positive", "positive": "negative"},
        **under("teachers.0.init_from.corpus", CORPUS), **phrases("teachers.0.init_from.corpus"),
        **folds("teachers.0.init_from.corpus"),
        "teachers.0.init_from.corpus.train_languages": (
            ["positive"], {"teachers.0.init_from.corpus.language_field": "flag"},
        ),
        "teachers.0.train.balance": ("languages", {"corpus.language_field": "flag"}),
        "teachers.0.init_from.train.balance": ("languages", {"teachers.0.init_from.corpus.language_field": "flag"}),
        **under("teachers.0.init_from.train", TRAIN), **under("teachers.0.train", TRAIN),
        "teacher_training": ("joint", {"teachers.1.layers": 3, "teachers.0.init_from": None}),
    },
    "outputs": {"outputs.quality_check": True},
    "assist": {
        "assistant.init": "bottom", "assistant.architecture": {"name": "bilstm", "hidden": 2},
        **under("assistant.train", TRAIN), "assistant.train.balance": ("languages", {"corpus.language_field": "flag"}),
        **under("assistant.method", {
            "temperature": 2.0, "alpha": 0.25, "alpha_end": 0.25, "temperature_end": 1.0, "kd_term": ("mse", {}),
            "t2_scaling": False, "direction": "reverse", "reduction": "elementmean",
        }),
    },
    "distill": {
        "outputs.access": "online", "outputs.teacher_view": "pruned", "student.encoder": OTHER, "student.layers": 2,
        "student.architecture": ({"name": "textcnn", "filters": 2}, {"student.layers": 3, "method.name": "kd"}),
        "student.init": "skip", "student.vocabulary": "trim",
        "student.width": 8, "student.heads": (2, {"student.width": 8}), "student.intermediate": 16,
        "student.weights": ("fresh", {"student.width": 8}), "student.embedding_rank": 4,
        "student.init_from": "teacher", "method": {"temperature": 2.0}, **under("train", TRAIN),
        "train.balance": ("languages", {"corpus.language_field": "flag"}),
    },
}  # fmt: skip

# What changes no result, and why.
COUNTS_NOT: dict[str, tuple[Any, str]] = {
    "store": ("elsewhere", "where results lie"),
    "corpus.path": (COPY, "the rows themselves are in the digest"),
    "teachers.0.init_from.corpus.path": (COPY, "the rows themselves are in the digest"),
    "corpus.skip_empty": (True, "the rows that remain are in the digest"),
    "teachers.0.init_from.corpus.skip_empty": (True, "the rows that remain are in the digest"),
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
    # what is learned decides which other settings there are; see the test of it below
    "corpus.task",
    "teachers.0.init_from.corpus.task",
    "corpus.tags",
    "teachers.0.init_from.corpus.tags",
    # the bytes of the file count and not its name; see test_given_teachers.py
    "teachers.0.predictions",
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


Known = Callable[[Mapping[str, Any]], dict[str, set[str]]]


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
    between = {"corpus": corpus, "label_map": {}, "train": train}
    settings = {
        "corpus": corpus,
        "teachers": [
            {"name": "t", "encoder": places["encoder"], "init_from": between, "train": train},
            {"name": "u", "encoder": places["encoder"], "train": train},
        ],
        "prune": {"policy": "lower_tail", "embedders": places["encoder"]},
        "assistant": {"train": train},
        "outputs": {"quality_check": False},
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
    distill(run, prepared, context)
    found: dict[str, set[str]] = {}
    for entry in context.journal:
        found.setdefault(entry["stage"], set()).add(entry["digest"])
    return found


@pytest.fixture(scope="module")
def known(places: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Known:
    """The digests of settings, each settings' once."""
    found: dict[str, dict[str, set[str]]] = {}

    def of(plain: Mapping[str, Any]) -> dict[str, set[str]]:
        key = json.dumps(plain, sort_keys=True)
        if key not in found:
            found[key] = digests(plain, places, tmp_path_factory.mktemp("known"))
        return found[key]

    return of


APART = ("method", "prune.policy", "student.architecture", "assistant.method", "assistant.architecture")


def keys_of(record: type[BaseModel], where: str = "") -> Iterator[str]:
    """The dotted key of every setting, sections too; but for those of methods, policies and architectures."""
    for name, field in record.model_fields.items():
        key = f"{where}{name}"
        yield key
        if key in APART:
            continue
        for inner in (field.annotation, *get_args(field.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from keys_of(inner, f"{key}.0." if key == "teachers" else f"{key}.")


def test_every_setting_is_classified() -> None:
    classified = {key for stage in COUNTS.values() for key in stage} | set(COUNTS_NOT) | NAMES | SECTIONS
    classified = {key for key in classified if not key.startswith("assistant.method.")}
    assert set(keys_of(RunConfig)) ^ classified == set()


CASES = [(stage, key, value) for stage, changes in COUNTS.items() for key, value in changes.items()]


@pytest.mark.parametrize(("stage", "key", "value"), CASES, ids=[case[1] for case in CASES])
def test_a_setting_that_counts_changes_its_stages_digest(
    stage: str, key: str, value: Any, base: dict[str, Any], places: dict[str, str], known: Known, tmp_path: Path
) -> None:
    value, needed = value if isinstance(value, tuple) else (value, {})
    needed = {name: places.get(str(given), given) for name, given in needed.items()}
    before = merge(base, needed)
    after = merge(before, {key: places.get(str(value), value)})
    assert after != before
    assert known(before)[stage] != digests(after, places, tmp_path)[stage]


@pytest.mark.parametrize("key", COUNTS_NOT)
def test_a_setting_that_counts_not_changes_no_digest(
    key: str, base: dict[str, Any], places: dict[str, str], known: Known, tmp_path: Path
) -> None:
    value, _ = COUNTS_NOT[key]
    after = merge(base, {key: places.get(str(value), value)})
    assert after != base
    assert known(base) == digests(after, places, tmp_path)


@pytest.mark.parametrize("record", [*METHODS, *get_args(get_args(Policy)[0])], ids=lambda record: record.__name__)
def test_every_setting_of_a_method_or_policy_is_written_into_the_digest(record: type[BaseModel]) -> None:
    """Both are dumped as a whole; what is left out of a dump would be left out of the digest."""
    needed = {"rate": 0.5} if "rate" in record.model_fields else {}
    assert set(record.model_validate(needed).model_dump(mode="json")) == set(record.model_fields)


def rows_changed(folder: Path) -> None:
    file = folder / "train.jsonl"
    file.write_text(file.read_text().replace("film", "movie", 1))


def labels_exchanged(folder: Path) -> None:
    file = folder / "test.jsonl"
    file.write_text(file.read_text().translate(str.maketrans({"0": "1", "1": "0"})))


def weights_changed(folder: Path) -> None:
    tiny.save_encoder(folder, seed=9)


def tokenizer_changed(folder: Path) -> None:
    file = folder / "tokenizer.json"
    plain = json.loads(file.read_text())
    words = plain["model"]["vocab"]
    first, second = list(words)[-2:]
    words[first], words[second] = words[second], words[first]
    file.write_text(json.dumps(plain))


INPUTS = [
    ("corpus", "corpus.path", FOLDER, rows_changed),
    ("corpus", "corpus.path", FOLDER, labels_exchanged),
    ("teach", "teachers.0.encoder", "encoder", weights_changed),
    ("distill", "student.encoder", "encoder", weights_changed),
    ("distill", "student.encoder", "encoder", tokenizer_changed),
    ("prune", "prune.embedders", "encoder", weights_changed),
]


@pytest.mark.parametrize(("stage", "key", "place", "change"), INPUTS)
def test_a_changed_input_changes_the_digest_in_the_same_process(
    stage: str,
    key: str,
    place: str,
    change: Callable[[Path], None],
    base: dict[str, Any],
    places: dict[str, str],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "input" / Path(places[place]).name
    shutil.copytree(places[place], folder)
    plain = merge(base, {key: str(folder)})
    before = digests(plain, places, tmp_path / "a")
    assert digests(plain, places, tmp_path / "b") == before
    change(folder)
    assert digests(plain, places, tmp_path / "c")[stage] != before[stage]


def test_the_task_changes_the_digest_of_a_corpus_with_the_same_rows(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for split in ("train", "test"):
        rows = [{"text": f"row {i} of {split}", "label": f"{i % 3}"} for i in range(30)]
        (tmp_path / "rows" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = [
        read(
            CorpusSettings.model_validate({"name": "folder", "path": str(tmp_path / "rows")} | more),
            Context(Store(str(tmp_path / "store")), InProcess(), None),
        ).digest
        for more in (
            {"labels": ["0", "1", "2"]},
            {"labels": ["0", "1", "2"], "task": "multi_label"},
            {"task": "regression"},
        )
    ]
    assert len(set(found)) == 3


def test_a_corpus_without_a_fold_has_the_digest_that_it_had_before_there_were_folds(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for split, number in (("train", 40), ("test", 10)):
        rows = [{"text": f"row {i} of {split}", "label": i % 2} for i in range(number)]
        (tmp_path / "rows" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    context = Context(Store(str(tmp_path / "store")), InProcess(), None)
    plain = {"name": "folder", "path": str(tmp_path / "rows"), "labels": ["no", "yes"]}
    assert [
        read(CorpusSettings.model_validate({**plain, **more}), context).digest
        for more in ({}, {"validation_fraction": 0.3, "split_seed": 7})
    ] == [
        "0c06b208c781a999096a512084b535b5555821b146775a91d8a2c623608bdb69",
        "792c10d015debc315be5461265882c4d93d2ccae7fda99e0b02cc1cc99f2c6fc",
    ]


def test_mended_tags_count_by_the_rows_that_they_give(tmp_path: Path) -> None:
    """`strict` refuses what `mend` changes, so the mended rows in the digest are enough."""
    found: dict[str, str] = {}
    for name, first, tags in (("stray", "I-PER", "mend"), ("right", "B-PER", "strict"), ("right", "B-PER", "mend")):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        for split in ("train", "test"):
            rows = [
                {"text": [f"{split}{i}", "is", "here"], "label": [first if i == 3 else "B-PER", "O", "O"]}
                for i in range(30)
            ]
            (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        settings = {"name": "folder", "path": str(folder), "task": "token_classification", "labels": ["PER"]}
        context = Context(Store(str(tmp_path / f"store-{name}-{tags}")), InProcess(), None)
        found[f"{name} {tags}"] = read(CorpusSettings.model_validate({**settings, "tags": tags}), context).digest
    assert found["right mend"] == found["right strict"]
    assert found["stray mend"] == found["right mend"]
