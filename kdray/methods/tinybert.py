"""TinyBERT: embeddings, hidden states and attention scores first, the prediction afterwards.

Source: Jiao et al. 2020; S0 (cited), S2 §2.2.
Formula: Σ_{m=0..L_s} MSE(H_s,m·W_h, H_t,g(m)) + Σ_{m=1..L_s} MSE(A_s,m, A_t,g(m)), g(m) = m·L_t/L_s, A before softmax;
    then −Σ_c softmax(z_t/T)_c·log softmax(z_s/T)_c, without hard labels and without T².
Needs: hidden states and attention scores of one teacher, online; then its logits, cached.
Refuses: a number of teacher layers that the student's does not divide, other numbers of heads, another tokenizer,
    several teachers, other class counts.
Defaults: 10 intermediate epochs at 5e-5, T = 1 (the authors' code; it takes 3 epochs at 3e-5 for the prediction, here
    `train.epochs` and `train.learning_rate`); no general epochs.
Differs from the source: general distillation reads this run's text and teacher, where it reads Wikipedia with a
    pre-trained teacher (for that, start from a published student); padding is left out by the mask and means are over a
    row's real tokens, then rows, where the code sets scores of padding to 0 and counts them; W_h is there only where
    widths differ; KL sums over classes, theirs averages (`reduction: elementmean`); no data augmentation.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, Method, MethodOutput, Phase, Status, TeacherStudent
from kdray.methods.layers import projected, state_rows, student_projection, token_mean, uniform_layers
from kdray.methods.losses import Reduction, log_probs, soft_cross_entropy_rows, wide
from kdray.signals import Need


class LayerCopy(Method):
    """What comes before the prediction: all layers, no labels."""

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"hidden", "attn"})

    def weights(self) -> dict[str, float]:
        return {"hard": 0.0, "hidden": 1.0, "attention": 1.0}

    def terms(self, step: Batch) -> MethodOutput:
        hidden = LossTerm(_hidden_rows(step))
        return MethodOutput(
            {"hidden": hidden, "attention": LossTerm(_score_rows(step))}, queries={"teacher": hidden.covered()}
        )


class TinyBERT(Method):
    """Copies layers in phases of their own, then learns soft labels; its terms are those of the prediction.

    Attributes:
        temperature: Softens both distributions of the prediction; above 0.
        general_epochs: Of general distillation, before the intermediate one.
        intermediate_epochs: Both are in addition to the run's epochs, which are the prediction's; with neither only
            logits are needed.
        intermediate_learning_rate: Of general distillation as well.
        reduction: `elementmean` divides the KL by the number of classes.
    """

    title: ClassVar[str] = "TinyBERT"
    source: ClassVar[str] = "Jiao et al. 2020; S2 §2.2"
    status: ClassVar[Status] = "task variant"
    access: ClassVar[str] = "online"

    name: Literal["tinybert"] = "tinybert"  # pyright: ignore[reportIncompatibleVariableOverride]
    temperature: float = Field(default=1.0, gt=0, le=1000)
    general_epochs: int = Field(default=0, ge=0, le=1000)
    intermediate_epochs: int = Field(default=10, ge=0, le=1000, examples=[0, 3])
    intermediate_learning_rate: float = Field(default=5e-5, gt=0, le=1)
    reduction: Reduction = "batchmean"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "TinyBERT":
        if not self._copies_layers:
            self.refuse_idle(("intermediate_learning_rate",), because="no epoch copies layers")
        return self

    @property
    def _copies_layers(self) -> bool:
        return bool(self.general_epochs or self.intermediate_epochs)

    def phases(self, epochs: int) -> tuple[Phase, ...]:
        copy, rate = LayerCopy(name=self.name), self.intermediate_learning_rate
        counts = {"general": self.general_epochs, "intermediate": self.intermediate_epochs}
        early = [
            Phase(name, copy, count, schedule=name, learning_rate=rate, scored=False)
            for name, count in counts.items()
            if count
        ]
        return (*early, Phase("prediction", self, epochs, schedule="prediction"))

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if not self._copies_layers:
            return
        student, teacher = pair.student, pair.teachers[0]
        if teacher.layers % student.layers:
            raise ConfigError(
                f"method tinybert copies every n-th layer: the student's {student.layers} layers do not divide the "
                f"{teacher.layers} of {teacher.name}; choose student.layers accordingly."
            )
        if teacher.heads != student.heads:
            raise ConfigError(
                f"method tinybert compares attention head by head: {teacher.name} has {teacher.heads} heads, the "
                f"student {student.heads}; take minilmv2."
            )

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        return student_projection(pair) if self._copies_layers else nn.ModuleDict()

    def weights(self) -> dict[str, float]:
        return {"hard": 0.0, "soft": 1.0}

    def terms(self, step: Batch) -> MethodOutput:
        student = step.student.logits
        target = log_probs(step.teachers[0].logits, self.temperature)
        rows = soft_cross_entropy_rows(target, student, temperature=self.temperature)
        term = LossTerm(rows / student.shape[-1] if self.reduction == "elementmean" else rows)
        return MethodOutput({"soft": term}, queries={"teacher": term.covered()})


def _hidden_rows(step: Batch) -> Float[Tensor, " batch"]:
    """The embeddings and every layer of the student against the teacher's, one projection for all."""
    student, teacher, mask = step.student.hidden, step.teachers[0].hidden, step.student.mask
    assert student is not None
    assert teacher is not None
    assert mask is not None
    wanted = uniform_layers(student.shape[1] - 1, teacher.shape[1] - 1)
    return state_rows(projected(step.adapters, student), teacher[:, [0, *wanted]], mask)


def _score_rows(step: Batch) -> Float[Tensor, " batch"]:
    """Attention scores between real tokens; `attn` starts with layer 1."""
    student, teacher, mask = step.student.attn, step.teachers[0].attn, step.student.mask
    assert student is not None
    assert teacher is not None
    assert mask is not None
    wanted = [layer - 1 for layer in uniform_layers(student.shape[1], teacher.shape[1])]
    apart = (wide(student) - wide(teacher[:, wanted])).square().mean(2)
    by_query = token_mean(apart.flatten(1, 2), mask).unflatten(1, (-1, mask.shape[1]))
    return token_mean(by_query, mask).sum(-1)
