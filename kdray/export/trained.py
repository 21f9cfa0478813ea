"""A trained classifier on disk: how it reads rows, what it scored, its pruner, and the corpus it was trained on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch

from kdray.corpora import encode, load_corpus
from kdray.distillation import Ref
from kdray.errors import ConfigError, near_path
from kdray.evaluate import predict
from kdray.models import TOKEN_TRANSFORMER, architecture_at, load_classifier, load_config, load_tokenizer
from kdray.models.folders import check_folder, read_json
from kdray.pruning import Pruner
from kdray.pruning.units import Role, prunable_fields
from kdray.records import Settings
from kdray.store import Artifact, Store
from kdray.store.manifest import MANIFEST
from kdray.store.store import MARK
from kdray.tasks import TASKS, get_task, tags_of
from kdray.train import Rows

FILE = "kdray.json"  # what a saved classifier needs in its Hugging Face folder
BATCH_ROWS = 64
PLAIN_TOKENS = 512  # that a plain folder of transformers reads at most


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
class TrainedModel:
    """A trained classifier: an ordinary Hugging Face folder and what is known of it.

    Attributes:
        folder: The Hugging Face folder.
        result: Scores, history and cost, as `result.json` holds them; empty where nothing is known.
        pruner: What shortens texts before they are read; None where the model was trained on whole texts.
        corpus: The folder of the corpus in the store; None where it is not known.
    """

    folder: Path
    reading: Reading = field(repr=False)
    result: Mapping[str, Any] = field(repr=False)
    pruner: Pruner | None = field(default=None, repr=False)
    corpus: Path | None = field(default=None, repr=False)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the model's outputs, in their order."""
        return self.reading.labels or get_task(self.reading.task).outputs

    def load_model(self) -> tuple[Any, Any]:
        """The model, in eval mode on the CPU in float32, and its tokenizer.

        Raises:
            ConfigError: A file of its folder is missing or damaged.
        """
        check_folder(self.folder)  # transformers reads a folder without a tokenizer with one of no words
        model = load_classifier(self.folder, labels=self.outputs, seed=0)
        return model, load_tokenizer(self.folder, model)

    def shortened(self, columns: Sequence[list[str]]) -> list[list[str]]:
        """The texts of each field as the model reads them: pruned, where it was trained on pruned texts."""
        if self.pruner is None:
            return list(columns)
        named = zip(self.reading.fields, columns, strict=True)
        return [self.pruner.prune(column) if name in self.reading.prunable else column for name, column in named]

    def rows(self, tokenizer: Any, columns: Sequence[list[str]]) -> Rows:
        """Texts, already shortened, as token ids."""
        encoded = encode(tokenizer, columns, max_length=self.reading.max_length)
        number = len(columns[0])
        return Rows([str(row) for row in range(number)], encoded, torch.full((number,), -1), tokenizer.pad_token_id)

    def logits(
        self, loaded: tuple[Any, Any], columns: Sequence[list[str]], *, precision: Literal["fp32", "bf16"]
    ) -> np.ndarray:
        """Logits of texts, already shortened, float32 [rows, outputs]; of lists of tokens [rows, tokens, outputs]."""
        if not columns[0]:
            shape = (0, 0) if get_task(self.reading.task).target == "tags" else (0,)
            return np.zeros((*shape, len(self.outputs)), dtype=np.float32)
        model, tokenizer = loaded
        device = next(model.parameters()).device
        return predict(model, self.rows(tokenizer, columns), batch_size=BATCH_ROWS, device=device, precision=precision)


def trained_parts(
    model: Artifact, corpus: Artifact, store: Store, pruned: Artifact | None = None
) -> tuple[Path, Reading, dict[str, Any], Pruner | None, Path]:
    """What a `TrainedModel` is made of, from the artifacts of a training and its corpus.

    Args:
        store: Holds them; its manifests give the scores of the teachers, which the result gets as `teachers`.
    """
    result, stored = json.loads(model.file("result.json").read_text()), load_corpus(corpus.folder)
    spec = result["spec"]
    result["teachers"] = _scores_of_teachers(spec, store)
    shortens = pruned is not None and pruned.summary["level"] == "sentence"
    pruner = Pruner.load(pruned.file("pruner.json").parent) if pruned is not None and shortens else None
    roles: list[tuple[str, Role]] = [(each.name, each.role) for each in stored.task.fields]
    reading = Reading(
        labels=tuple(spec["labels"]),
        fields=tuple(each.name for each in stored.task.fields),
        prunable=tuple(prunable_fields(roles, prune_pairs=pruner is not None and pruner.settings.prune_pairs)),
        max_length=spec["train"]["max_length"],
        precision=spec["train"]["precision"],
        task=stored.task.kind,
        metrics=stored.task.metrics,
    )
    return model.file("model"), reading, result, pruner, corpus.folder


def parts_of(model: Artifact, store: Store) -> tuple[Path, Reading, dict[str, Any], Pruner | None, Path]:
    """As `trained_parts`, with the corpora that the training names."""
    spec = json.loads(model.file("result.json").read_text())["spec"]
    pruned = Ref.model_validate(spec["pruned_corpus"]).open(store) if spec["pruned_corpus"] else None
    return trained_parts(model, Ref.model_validate(spec["corpus"]).open(store), store, pruned)


def _scores_of_teachers(spec: Mapping[str, Any], store: Store) -> dict[str, dict[str, float]]:
    """The metric on the test rows, by teacher; without those that know some classes only, or that the store lacks."""
    found: dict[str, dict[str, float]] = {}
    for teacher in spec["teachers"]:
        ref = Ref.model_validate(teacher["model"] or teacher["outputs"])
        artifact = store.find(ref.stage, ref.name, ref.digest)
        summary = artifact.summary if artifact else {}
        if teacher["info"]["known"] is None and "test" in summary.get("scores", {}):
            found[teacher["info"]["name"]] = {summary["metric"]: summary["scores"]["test"]}
    return found


def open_trained(where: str | Path) -> TrainedModel:
    """A classifier that `Student.save` wrote, that a store holds (its folder or the folder `model` in it), or a plain
    folder of transformers, which reads one text of as many tokens as its tokenizer allows (at most 512).

    Raises:
        ConfigError: It is none of these.
    """
    folder = Path(where).expanduser()
    if (folder / FILE).is_file():
        document = json.loads((folder / FILE).read_text(encoding="utf-8"))
        pruner = Pruner.load(folder) if (folder / "pruner.json").is_file() else None
        reading, corpus = Reading.model_validate(document["reading"]), _same_corpus(document.get("corpus"))
        return TrainedModel(folder, reading, document["result"], pruner, corpus)
    whole = folder.resolve()  # `.` and links have other names
    artifact = whole.parent if whole.name == "model" else whole
    if (artifact / "manifest.json").is_file() and (artifact / "result.json").is_file():
        return TrainedModel(*_stored_parts(artifact))
    if (folder / "config.json").is_file():
        return TrainedModel(folder, _plain_reading(folder), {})
    raise ConfigError(f"{where} {_other_than_a_model(folder)}")


def check_trained(where: str | Path) -> None:
    """
    Raises:
        ConfigError: `open_trained` finds no classifier there.
    """
    folder = Path(where).expanduser()
    is_training = all((folder / name).is_file() for name in (MANIFEST, "result.json"))
    if not (is_training or (folder / FILE).is_file() or (folder / "config.json").is_file()):
        raise ConfigError(f"{where} {_other_than_a_model(folder)}")


def is_onnx_bundle(folder: Path) -> bool:
    """Whether there is a `bundle.json` of another format than `hf`; what it holds is checked when it is opened.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        about: Any = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{folder / 'bundle.json'} cannot be read ({error}); export the bundle again.") from error
    return not isinstance(about, dict) or cast("dict[str, Any]", about).get("format") != "hf"


def _other_than_a_model(folder: Path) -> str:
    """What is there instead, and what to give, as the end of a sentence."""
    if not folder.exists():
        return f"does not exist; {near_path(folder, otherwise='give the folder of a model.')}"
    if not folder.is_dir():
        has_model = (folder.parent / "config.json").is_file() or (folder.parent / "bundle.json").is_file()
        return f"is a file; give the folder of a model{f', {folder.parent}' if has_model else ''}."
    if is_onnx_bundle(folder):
        return (
            "is an ONNX bundle: kdray predict, serve and bench read it (in Python kd.predict_files, kd.serve, "
            "kd.benchmark); here, give the student that it was exported from."
        )
    whole = folder.resolve()
    if (whole / MARK).is_file():
        students = [found.path for found in Store(str(whole)).artifacts("distill")]
        example = f", such as {folder / students[-1].relative_to(whole)}" if students else ""
        return f"is a store; give the folder of a student in it{example}."
    if whole.parent.name == "sweeps":
        return f"is a sweep; give its student, which kdray best {whole.name} --export FOLDER saves."
    if (folder / MANIFEST).is_file():
        return f"is an artifact of the stage {whole.parent.name}; give one of distill (students) or teach (teachers)."
    return (
        f"is not a trained classifier: expected a folder that save or kdray export wrote ({FILE}, bundle.json), the "
        "folder of a training in a store (manifest.json and result.json), or a folder of transformers (config.json)."
    )


def digest_of(corpus: Path) -> str:
    """The digest in the manifest of a corpus; empty where there is none."""
    manifest = corpus / "manifest.json"
    return str(json.loads(manifest.read_text(encoding="utf-8"))["digest"]) if manifest.is_file() else ""


def _same_corpus(known: Mapping[str, str] | None) -> Path | None:
    """Where the corpus of a saved classifier is; None if it is not there any more, or is another one."""
    if known is None or not known["digest"]:
        return None
    folder = Path(known["folder"])
    return folder if digest_of(folder) == known["digest"] else None


def _stored_parts(folder: Path) -> tuple[Path, Reading, dict[str, Any], Pruner | None, Path]:
    store, manifest = Store(str(folder.parents[1])), json.loads((folder / "manifest.json").read_text())
    model = Ref(stage=manifest["stage"], name=manifest["name"], digest=manifest["digest"]).open(store)
    return parts_of(model, store)


def _plain_reading(folder: Path) -> Reading:
    config, tokenizer = load_config(folder), read_json(folder / "tokenizer_config.json")
    kinds = [each for each in TASKS.values() if each.problem_type == getattr(config, "problem_type", None)]
    task = kinds[0] if kinds else TASKS["regression" if config.num_labels == 1 else "single_label"]
    if architecture_at(folder) == TOKEN_TRANSFORMER:
        task = TASKS["token_classification"]
        tags_of([str(config.id2label[number]) for number in range(config.num_labels)])  # refuses another order
    limits = (tokenizer.get("model_max_length"), getattr(config, "max_position_embeddings", None))
    return Reading(
        labels=tuple(str(config.id2label[number]) for number in range(config.num_labels)),
        fields=("tokens" if task.target == "tags" else "text",),
        prunable=(),
        max_length=min(PLAIN_TOKENS, *(int(each) for each in limits if each)),
        precision="fp32",
        task=task.name,
        metrics=task.metrics,
    )
