"""Students by the latency of their export: which shapes a search may use, and the bundle that it ends with.

Latency depends on a student's shape, not on its weights. So every shape of the search space is exported and timed once,
untrained, before anything is trained, in turns with the exported teachers: one row of the corpus's median length, one
thread, tokenizer included, by the module behind `kdray bench`. With a limit the search then has only shapes that meet
it, and the bundle that it ends with is timed again.
"""

import json
import logging
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from kdray.config import RunConfig, merge, parse
from kdray.corpora import VALIDATION, StoredTask, kdray_data
from kdray.distillation import ModelSource, build_model
from kdray.engines import InProcess
from kdray.errors import ConfigError, RunError, plural
from kdray.experiments.settings import Deployable, Space, SweepSettings
from kdray.export.bench import Candidate, OneRow, candidate_of, megabytes_of, time_one_row
from kdray.export.bundle import export_bundle, write_drafts
from kdray.export.evidence import evidence_for
from kdray.export.machine import machine
from kdray.export.trained import Reading, TrainedModel, open_trained
from kdray.models import Fitted, save_classifier, transformer_for
from kdray.stages import Context, distill, load_stored, prepare
from kdray.store import Artifact, Store
from kdray.tasks import get_task

log = logging.getLogger(__name__)

BUSY_ATTEMPTS = 3
MOST_SHAPES = 32  # each is exported and timed, which takes about half a minute
SHAPE = "student"  # the search's parameter that chooses one
NOT_IN_SHAPE = {"init", "init_from", "vocabulary", "weights", "encoder"}  # of a student: without effect on its latency
TEACHER = "teacher "


@dataclass(frozen=True)
class Exported:
    """What was measured, in milliseconds.

    Attributes:
        students: By shape and format.
        teachers: By name, of the format onnx.
        tokens: Of the row.
        warning: Where the machine was not quiet.
        teacher_megabytes: Of the teachers' bundles, by name.
    """

    students: Mapping[str, Mapping[Deployable, float]]
    teachers: Mapping[str, float]
    tokens: int
    warning: str
    machine: Mapping[str, Any] = field(repr=False)
    teacher_megabytes: Mapping[str, float] = field(default_factory=dict[str, float])

    def of(self, run: RunConfig) -> Mapping[Deployable, float]:
        """By format, of the student of a run.

        Raises:
            ConfigError: Its shape was not measured.
        """
        found = self.students.get(shape_of(run))
        if found is None:
            raise ConfigError(
                f"the latency of the student {_shown(run)} was not measured, because the search space changes its "
                "shape by itself; name the depths in --depths, or every choice in the space of a sweep file."
            )
        return found

    def has(self, run: RunConfig) -> bool:
        """Whether the shape of its student was measured."""
        return shape_of(run) in self.students

    def fastest(self, run: RunConfig) -> float:
        """Of the student of a run, in its fastest format."""
        return min(self.of(run).values())

    def plain(self) -> dict[str, Any]:
        return {
            "students": {shape: dict(found) for shape, found in self.students.items()},
            "teachers": dict(self.teachers),
            "tokens": self.tokens,
            "warning": self.warning,
            "machine": dict(self.machine),
            "teacher_megabytes": dict(self.teacher_megabytes),
        }


def shape_of(run: RunConfig) -> str:
    """Equal for two runs whose students, exported, do the same work for a row."""
    student = run.student.model_dump(mode="json", exclude=NOT_IN_SHAPE)
    student |= {"layers": run.student.depth, "source": run.student_encoder, "max_length": run.train.max_length}
    return json.dumps(student, sort_keys=True)


def exported_latency(settings: SweepSettings, run: RunConfig, corpus: Artifact, store: Store) -> Exported:
    """The latency of every shape of the search and of the teachers; what the sweep measured before is read.

    Raises:
        ConfigError: The space has too many shapes, or one cannot be exported.
    """
    runs = {shape_of(each): each for each in (changed(run, shape) for shape in settings.shapes.every)}
    if len(runs) > MOST_SHAPES:
        raise ConfigError(
            f"the search space has {len(runs)} shapes of students; at most {MOST_SHAPES} are measured: name fewer, or "
            "leave out --bundle, --under and the objective latency."
        )
    where, here = f"sweeps/{settings.name}/latency.json", machine()
    known = store.read_json(where)
    if known is not None and known["machine"] == here and _has(known, runs, settings.formats):
        log.info("latency: of an earlier measurement, %s", where)
        wanted = {
            shape: {each: found[each] for each in settings.formats if each in found}
            for shape, found in known["students"].items()
        }
        return replace(Exported(**known), students=wanted)
    with tempfile.TemporaryDirectory(prefix="kdray-latency-") as place:
        drafts = dict(_drafts(runs, run, corpus, store, settings.formats, Path(place)))
        found = _measured(drafts, corpus)
        sizes = {
            name.removeprefix(TEACHER): megabytes_of(folder)
            for name, folder in drafts.items()
            if name.startswith(TEACHER)
        }
    students: dict[str, Mapping[Deployable, float]] = {
        shape: {each: found.p50_ms[f"{number} {each}"] for each in settings.formats}
        for number, shape in enumerate(runs)
    }
    teachers = {name.removeprefix(TEACHER): value for name, value in found.p50_ms.items() if name.startswith(TEACHER)}
    made = Exported(students, teachers, found.tokens, found.load.sentence, here, sizes)
    for each in runs.values():
        log.info("latency of %s: %s", _shown(each), _in_ms(made.of(each)))
    if made.warning:
        log.warning("latency: %s", made.warning)
    store.write_json(where, made.plain())
    return made


def _has(known: Mapping[str, Any], runs: Mapping[str, RunConfig], formats: Sequence[str]) -> bool:
    has_sizes = "teacher_megabytes" in known  # sweeps of earlier versions did not keep them
    return has_sizes and all(set(formats) <= set(known["students"].get(shape, ())) for shape in runs)


def _drafts(
    runs: Mapping[str, RunConfig],
    run: RunConfig,
    corpus: Artifact,
    store: Store,
    formats: Sequence[Deployable],
    place: Path,
) -> Iterator[tuple[str, Path]]:
    """Untrained bundles by name: students as `NUMBER FORMAT`, teachers as `teacher NAME`."""
    task = load_stored(corpus).task
    transformer = transformer_for(get_task(task.kind))
    for number, each in enumerate(runs.values()):
        student = each.student
        layers = student.layers if student.is_transformer else None
        source = ModelSource(
            encoder=each.student_encoder,
            architecture=transformer if student.is_transformer else student.architecture,
            layers=layers,
            init=student.init,
            width=student.width,
            heads=student.heads,
            intermediate=student.intermediate,
            weights=student.weights,
            embedding_rank=student.embedding_rank,
        )
        if isinstance(student.architecture, Fitted):
            model = _fitted(each, store)
        else:
            model = _untrained(source, task, each.train.max_length, store, place / f"student {number}")
        log.info("latency: export %s", _shown(each))
        for format, folder in write_drafts(model, place / f"{number}", formats).items():
            yield f"{number} {format}", folder
    same = dict[str, Path]()
    for teacher in (each for each in run.teachers if each.predictions is None):
        source = ModelSource(architecture=transformer, encoder=teacher.encoder, layers=teacher.layers)
        key = source.model_dump_json() + str(teacher.train.max_length)
        if key not in same:
            model = _untrained(source, task, teacher.train.max_length, store, place / f"{TEACHER}{teacher.name}")
            same[key] = write_drafts(model, place / f"exported {teacher.name}", ["onnx"])["onnx"]
        yield f"{TEACHER}{teacher.name}", same[key]


def _untrained(source: ModelSource, task: StoredTask, max_length: int, store: Store, folder: Path) -> TrainedModel:
    model, tokenizer = build_model(source, labels=task.labels, seed=0, store=store)
    save_classifier(model, tokenizer, folder, max_length=max_length)
    reading = Reading(
        labels=task.labels,
        fields=tuple(each.name for each in task.fields),
        prunable=(),
        max_length=max_length,
        precision="fp32",
        task=task.kind,
        metrics=task.metrics,
    )
    return TrainedModel(folder, reading, {})


def _fitted(run: RunConfig, store: Store) -> TrainedModel:
    """A student that has no size before it is fitted, which takes seconds: on hard labels."""
    changes = {"method": {"name": "finetune"}, "prune": {"policy": "none"}, "teachers": []}
    alone = parse({**run.model_dump(mode="json"), **changes}, source="sweep")
    context = Context(store, InProcess(), kdray_data())
    return open_trained(distill(alone, prepare(alone, context), context).folder)


def _measured(folders: Mapping[str, Path], corpus: Artifact) -> OneRow:
    """By name; bundles that are one folder are timed once."""
    candidates = {str(folder): candidate_of(folder) for folder in folders.values()}
    found = _timed(list(candidates.values()), corpus)
    return replace(found, p50_ms={name: found.p50_ms[str(folder)] for name, folder in folders.items()})


def _timed(candidates: Sequence[Candidate], corpus: Artifact) -> OneRow:
    """On a machine that is not quiet several times: other processes make medians longer, never shorter."""
    stored = load_stored(corpus)
    table = stored.table(VALIDATION)
    rows = list(zip(*(table[each.name].to_pylist() for each in stored.task.fields), strict=True))
    found = time_one_row(candidates, rows)
    for _ in range(BUSY_ATTEMPTS - 1):
        if found.load.is_quiet:
            break
        again = time_one_row(candidates, rows)
        least = {name: min(ms, found.p50_ms[name]) for name, ms in again.p50_ms.items()}
        found = again if again.load.is_quiet else replace(again, p50_ms=least)
    return found


def within(settings: SweepSettings, run: RunConfig, exported: Exported) -> tuple[SweepSettings, RunConfig]:
    """The search among the shapes that meet the limit, and the run of its trial 0.

    The run keeps its shape if that meets the limit; otherwise it gets the slowest shape that does.

    Raises:
        ConfigError: No shape meets it.
    """
    limit, shapes = settings.limit_ms, settings.shapes
    if limit is None:
        return settings, run
    fast = [(exported.fastest(changed(run, shape)), shape) for shape in shapes.every]
    allowed = [shape for ms, shape in fast if ms <= limit]
    if not allowed:
        ms, shape = min(fast, key=lambda each: each[0])
        raise ConfigError(
            f"no student of this search answers within {limit:g} ms on this machine: the fastest, "
            f"{_shown(changed(run, shape))}, takes {ms:.2f} ms for a row of {exported.tokens} tokens; allow more "
            "time, or let the search have smaller students (--depths)."
        )
    own = shape_of(run)
    same = [shape for shape in allowed if shape_of(changed(run, shape)) == own]
    first = same[0] if same else max((each for each in fast if each[0] <= limit), key=lambda each: each[0])[1]
    if not same:
        log.warning("trial 0 is the defaults with %s: %s is too slow", _shown(changed(run, first)), _shown(run))
    label_of = {label(shape): shape for shape in allowed}
    named = {SHAPE: label(first)} if len(allowed) > 1 else {}
    starts = [{**each, "params": {**each["params"], **named}} for each in settings.starts]
    space: Space = partial(_with_shape, space=shapes.space, shapes=label_of)
    return replace(settings, space=space, starts=starts), changed(run, first)


def _with_shape(
    trial: Any, *, space: Callable[[Any, Mapping[str, Any]], dict[str, Any]], shapes: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    chosen = trial.suggest_categorical(SHAPE, list(shapes)) if len(shapes) > 1 else next(iter(shapes))
    return {**shapes[chosen], **space(trial, shapes[chosen])}


def label(shape: Mapping[str, Any]) -> str:
    """
    >>> label({"student.layers": 2, "student.vocabulary": "trim"})
    'layers=2, vocabulary=trim'
    """
    return ", ".join(f"{key.removeprefix('student.')}={value}" for key, value in shape.items()) or "as given"


def changed(run: RunConfig, shape: Mapping[str, Any]) -> RunConfig:
    """The run with a student of this shape."""
    return parse(merge(run.model_dump(mode="json"), shape), source="sweep") if shape else run


def deploy(
    students: Sequence[tuple[RunConfig, Artifact]],
    *,
    limit_ms: float | None,
    formats: Sequence[Deployable],
    exported: Exported,
    corpus: Artifact,
    folder: Path,
) -> dict[str, Any]:
    """Export students, the best first, until a bundle is measured within the limit, and keep that as `folder`.

    A bundle that an earlier command of the sweep kept on this machine is not timed again.

    Args:
        limit_ms: None takes the first bundle that agrees with its student.
        formats: Tried in their order, those that can meet the limit.

    Raises:
        RunError: No bundle meets the limit.
    """
    tried, limit = list[str](), math.inf if limit_ms is None else limit_ms
    record = folder.with_name(f"{folder.name}-latency.json")
    kept = json.loads(record.read_text(encoding="utf-8")) if record.exists() and folder.exists() else {}
    for number, (run, student) in enumerate(students):
        known = exported.of(run) if exported.has(run) or limit_ms is not None else dict.fromkeys(formats, 0.0)
        fast: list[Deployable] = [each for each in formats if known[each] <= limit]
        for format in fast:
            wanted = {"student": student.digest, "format": format, "machine": dict(exported.machine)}
            if wanted.items() <= kept.items() and kept["p50_ms"] <= limit:
                log.info("deploy: the bundle of an earlier command is kept")
                return {key: kept[key] for key in kept if key != "machine"} | {"folder": str(folder), "choice": number}
            draft = folder.with_name(f".{folder.name}-{format}.tmp")
            shutil.rmtree(draft, ignore_errors=True)
            try:
                found = _exported(student, draft, format, corpus)
                what = f"{student.digest[:12]} as {format}"
                if isinstance(found, str):
                    tried.append(f"{what}: {found}")
                elif found["p50_ms"] <= limit:
                    shutil.rmtree(folder, ignore_errors=True)
                    record.unlink(missing_ok=True)
                    draft.rename(folder)
                    record.write_text(json.dumps({**wanted, **found}), encoding="utf-8")
                    return {
                        "folder": str(folder),
                        "student": student.digest,
                        "choice": number,
                        "format": format,
                        **found,
                    }
                else:
                    tried.append(f"{what}: {found['p50_ms']:.2f} ms")
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            log.warning("deploy: %s, which is not kept", tried[-1])
    if limit_ms is None:
        raise RunError(f"results are written, but no export agrees with its student ({'; '.join(tried)}).")
    raise RunError(
        f"results are written, but no bundle was measured within {limit_ms:g} ms ({'; '.join(tried)}); allow more "
        "time, let the search have smaller students, or measure on a quiet machine."
    )


def _exported(student: Artifact, draft: Path, format: Deployable, corpus: Artifact) -> dict[str, Any] | str:
    """What was measured of a bundle, or why there is none."""
    model = open_trained(student.folder)
    try:
        about = export_bundle(model, draft, format=format, evidence=evidence_for(model))
    except RunError as error:  # it does not agree with the student
        return str(error)
    found = _timed([candidate_of(draft)], corpus)
    (ms,) = found.p50_ms.values()
    proof = cast(Mapping[str, Any], about["proof"])
    return {
        "p50_ms": ms,
        "megabytes": megabytes_of(draft),
        "tokens": found.tokens,
        "warning": found.load.sentence,
        "proof": dict(proof),
    }


def _in_ms(found: Mapping[Deployable, float]) -> str:
    return ", ".join(f"{format} {ms:.2f} ms" for format, ms in found.items())


def _shown(run: RunConfig) -> str:
    student = run.student
    if not student.is_transformer:
        return student.architecture.label
    names = ("width", "heads", "intermediate", "embedding_rank")
    cut = [f", {name} {n}" for name in names if (n := getattr(student, name)) is not None]
    return f"{plural(student.depth, 'layer')} of {run.student_encoder}{''.join(cut)}"
