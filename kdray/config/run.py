"""RunConfig: one section a stage; each section is defined in the package that it configures."""

from typing import Literal

from pydantic import Field, model_validator

from kdray.corpora import CorpusSettings
from kdray.distillation import AssistantSettings, StudentSettings
from kdray.methods import KD, AnyMethod
from kdray.pruning import PruneSettings
from kdray.records import Name, Settings
from kdray.teachers import TeacherSettings
from kdray.train import TrainSettings

ENCODER = "minilm"  # of a student whose encoder is left out


class PruneSection(PruneSettings):
    """Pruning, and whose embeddings make its graph.

    Attributes:
        embedders: `teachers`, or an encoder by name.
    """

    embedders: Name = "teachers"


class OutputsSettings(Settings):
    """Which outputs of teachers are made, and how students read them.

    Attributes:
        quality_check: Refuse a teacher that does not beat the majority class on the validation split.
        access: Students learn from `cached` outputs, or run the teachers inside every step (`online`).
        teacher_view: Teachers score the `full` texts, so that one cache serves every pruning, or the `pruned` ones that
            the student reads.
    """

    quality_check: bool = True
    access: Literal["cached", "online"] = "cached"
    teacher_view: Literal["full", "pruned"] = "full"


class WorkSettings(Settings):
    """Where and how wide things run. Nothing here changes a result or a digest, except `workers`.

    Attributes:
        workers: DDP workers of one training. Each draws dropout of its own, so two or more are part of the digest of
            what they train.
        cpus: Processors of one worker; 0 shares what there is.
        gpus: GPUs of one worker, may be a fraction; None takes one where the cluster has any.
        actors: Actors that embed and ask teachers; 0 decides by the cluster.
        block_rows: Rows that an actor is handed at once, in whole parts (of 1,024 rows); more means fewer tasks.
        retries: How often a lost worker is started again.
    """

    workers: int = Field(default=1, ge=1, le=4096)
    cpus: int = Field(default=0, ge=0, le=4096)
    gpus: float | None = Field(default=None, ge=0, le=1024)
    actors: int = Field(default=0, ge=0, le=100_000)
    block_rows: int = Field(default=1024, ge=1, le=1_048_576)
    retries: int = Field(default=3, ge=0, le=1000)


class RunConfig(Settings):
    """A whole run: prune, teach, outputs, distill.

    Attributes:
        store: Folder or URI that holds everything made.
        teacher_training: Teachers are fine-tuned one by one, or together under one head (`joint`: MT-BERT, stage 1).
            These need one architecture, width and tokenizer, equal `train` and `init_from`, and encoders or depths that
            differ; the epoch that is kept is the one in which their mean probabilities score best.
        method: How the student learns; `my_method.py:MyKD` is one of your own. `kdray methods` lists kdray's.
    """

    store: Name = "store"
    corpus: CorpusSettings = CorpusSettings()
    prune: PruneSection = PruneSection()
    teachers: tuple[TeacherSettings, ...] = (TeacherSettings(),)
    teacher_training: Literal["separate", "joint"] = "separate"
    outputs: OutputsSettings = OutputsSettings()
    assistant: AssistantSettings = AssistantSettings()
    student: StudentSettings = StudentSettings()
    method: AnyMethod = KD()
    train: TrainSettings = TrainSettings()
    work: WorkSettings = WorkSettings()

    @property
    def student_encoder(self) -> str:
        """The encoder that the student's layers, or its tokenizer, stem from."""
        student = self.student
        if student.init_from != "encoder" or (student.encoder is None and self.teachers and not student.is_transformer):
            return self.teachers[0].encoder
        return student.encoder or ENCODER

    @model_validator(mode="after")
    def _teachers_have_names(self) -> "RunConfig":
        names = [teacher.name for teacher in self.teachers]
        if len(set(names)) < len(names):
            raise ValueError(f"teachers must have different names, found {names}")
        return self

    @model_validator(mode="after")
    def _teachers_fit_together(self) -> "RunConfig":
        if self.teacher_training == "separate":
            return self
        if len(self.teachers) < 2:
            raise ValueError(
                f"teacher_training = joint, but teachers has {len(self.teachers)}: two or more share a head"
            )
        first, begun = self.teachers[0], dict[tuple[str, int | None], str]()
        for teacher in self.teachers:
            if teacher.classes or teacher.fine_tuned:
                given = "classes" if teacher.classes else "fine_tuned"
                raise ValueError(
                    f"teacher_training = joint, but teacher {teacher.name} sets {given}: it has a head of its own"
                )
            for name in ("train", "init_from"):
                if getattr(teacher, name) != getattr(first, name):
                    raise ValueError(
                        f"teacher_training = joint: {teacher.name} and {first.name} must have the same {name}"
                    )
            twin = begun.setdefault((teacher.encoder, teacher.layers), teacher.name)
            if twin != teacher.name:
                raise ValueError(
                    f"teacher_training = joint, but {twin} and {teacher.name} begin as the same model and would "
                    "stay it; give one another encoder or layers"
                )
        return self

    @model_validator(mode="after")
    def _method_has_its_teachers(self) -> "RunConfig":
        least = self.method.min_teachers
        if len(self.teachers) < least:
            fix = "; give a teacher, or take method finetune" if not self.teachers else ""
            raise ValueError(
                f"method {self.method.name} works with {least} or more teachers, but teachers has "
                f"{len(self.teachers)}{fix}"
            )
        return self

    @model_validator(mode="after")
    def _predictions_suffice(self) -> "RunConfig":
        files = [teacher.name for teacher in self.teachers if teacher.predictions is not None]
        first = self.teachers[: self.method.max_teachers]
        used = [teacher.name for teacher in first if teacher.predictions is not None]
        if not files:
            return self
        needs = frozenset[str]().union(*(phase.method.needs for phase in self.method.phases(1))) - {"logits"}
        reasons = {
            f"method {self.method.name} needs {', '.join(sorted(needs))} of every teacher": bool(used and needs),
            f"method {self.method.name} makes assistants from its teacher's layers": bool(
                used and self.method.uses_assistant
            ),
            "student.init_from = teacher takes its layers": self.student.init_from == "teacher"
            and self.teachers[0].predictions is not None,
            "teacher_training = joint fine-tunes it": self.teacher_training == "joint",
            "prune.embedders = teachers needs its embeddings": self.prune.needs_embeddings
            and self.prune.embedders == "teachers",
            "outputs.access = online runs it in every step": self.outputs.access == "online",
            "outputs.teacher_view = pruned runs it on other texts": self.outputs.teacher_view == "pruned",
        }
        for reason, is_needed in reasons.items():
            if is_needed:
                raise ValueError(
                    f"teacher {(used or files)[0]} is a file of predictions without a model, but {reason}; change that "
                    "setting, or take a teacher with an encoder"
                )
        return self

    @model_validator(mode="after")
    def _pruned_view_is_there(self) -> "RunConfig":
        if self.outputs.teacher_view == "pruned" and self.prune.policy.name == "none":
            raise ValueError("outputs.teacher_view = pruned, but prune.policy = none leaves every text as it is")
        return self

    @model_validator(mode="after")
    def _tokens_are_the_same(self) -> "RunConfig":
        shortens = self.prune.policy.name != "none" and self.prune.level != "row"
        if shortens and self.outputs.teacher_view == "full" and self.method.compares_tokens:
            raise ValueError(
                f"method {self.method.name} compares token by token, so its teachers must read the pruned texts, as "
                "the student does; set outputs.teacher_view = pruned, or prune.policy = none"
            )
        return self

    @model_validator(mode="after")
    def _languages_can_be_balanced(self) -> "RunConfig":
        trainings = [("train", self.train, self.corpus), ("assistant.train", self.assistant.train, self.corpus)]
        for number, teacher in enumerate(self.teachers):
            trainings.append((f"teachers.{number}.train", teacher.train, self.corpus))
            if between := teacher.init_from:
                rows = CorpusSettings.model_validate(between.corpus)
                trainings.append((f"teachers.{number}.init_from.train", between.train, rows))
        for key, train, corpus in trainings:
            if train.balance == "languages" and not corpus.has_languages:
                raise ValueError(
                    f"{key}.balance = languages, but the rows of {corpus.label} have no language; name their column "
                    "with language_field, or leave balance out"
                )
        return self

    @model_validator(mode="after")
    def _dropout_is_cached(self) -> "RunConfig":
        if self.method.dropout_passes and self.outputs.access == "online":
            raise ValueError(
                f"method {self.method.name} reads outputs with dropout, which is always cached; set "
                "outputs.access = cached, or method.mc = 0"
            )
        return self

    @model_validator(mode="after")
    def _student_has_a_source(self) -> "RunConfig":
        if self.student.init_from == "teacher" and not self.teachers:
            raise ValueError("student.init_from = teacher, but there are no teachers")
        if self.student.init_from != "encoder" and self.teachers:
            first, encoder = self.teachers[0], self.student.encoder
            if encoder not in (None, first.encoder):
                raise ValueError(
                    f"student.encoder = {encoder} has no effect: init_from = {self.student.init_from} takes layers "
                    f"that stem from teacher {first.name}, whose encoder is {first.encoder}; leave it out"
                )
        if self.student.init_from == "teacher" and self.teachers[0].classes:
            first = self.teachers[0].name
            raise ValueError(f"student.init_from = teacher, but teacher {first} scores only some classes")
        if self.student.init_from == "assistant" and not self.method.uses_assistant:
            raise ValueError(f"student.init_from = assistant, but method {self.method.name} uses no assistant")
        if self.student.init_from == "assistant" and self.student.is_transformer and not self.assistant.is_transformer:
            label = self.assistant.architecture.label
            raise ValueError(
                f"student.init_from = assistant, but the assistant is a {label}, which has no layers to take"
            )
        return self

    @model_validator(mode="after")
    def _pruning_has_its_embeddings(self) -> "RunConfig":
        if self.prune.needs_embeddings and self.prune.embedders == "teachers" and not self.teachers:
            raise ValueError(
                "prune takes embeddings from the teachers, but teachers is empty; set prune.embedders to an encoder, "
                "or prune.policy = none to leave every text as it is"
            )
        return self
