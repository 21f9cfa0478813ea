"""DeKD: data selection, a teacher assistant, dynamic objective alignment.

Source: S1 eq. 1-12.
Formula: λ1·CE + λ2·(KD(teacher; certain rows) + KD(assistant; uncertain rows)) + λ3·L_DA over the selected rows,
    L_DA = mean_b Σ_i ‖nrm(h_s,i) − nrm(h_t,I(i))‖², I = the M teacher layers of largest [CLS] entropy, by depth.
Needs: logits of a teacher and of an assistant, [CLS] of every teacher layer; all cached.
Refuses: a teacher with fewer layers than the student; ratios outside (0, 1]; one class.
Defaults: λ = .5/.3/.2, T = 5, r = .5 (S1 §4.3); assistant in the geometric middle of teacher and student (S1
    Figure 3: 6 is best between 3 and 12, 9 between 6 and 12).
Differs from the source: H(x) of a layer is that of its [CLS] vector, and M is the student's number of layers, which
    S1 leaves open (D38); T² on (D2); CE on all rows (D7); entropy normalized by log d, not log|Y| (D8); margin selects
    the uncertain rows (D6); the assistant has the settings of the run's `assistant` section, not DeKD's own; widths
    that differ get a bias-free projection on the student's side (D14).
"""

import math
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from kdray.errors import ConfigError
from kdray.methods.contract import Batch, LossTerm, MethodOutput, Ranks, Status, TeacherStudent
from kdray.methods.layers import middle_depth, projected, student_projection
from kdray.methods.losses import entropy_rows, log_probs, mse_rows, unit
from kdray.methods.selection import Strategy, most, uncertainty
from kdray.methods.soft_labels import SoftTargets
from kdray.signals import Need


class DeKD(SoftTargets):
    """Selected rows only; certain ones from the teacher, uncertain ones from the assistant; aligned layers.

    Attributes:
        r: Share of the batch that queries a teacher, in (0, 1]; 1 is "w/o DS".
        strategy: By what rows are selected: the student's uncertainty, or at `random`.
        assistant: False is "w/o TA": every selected row queries the teacher.
        ta_depth: Layers of the assistant; None is the geometric middle of teacher and student, rounded up.
        lambda1: Weight of the hard labels.
        lambda2: Weight of the soft labels.
        lambda3: Weight of the layer alignment; 0 is "w/o DOA".
        granularity: Choose teacher layers per `batch` or per `instance`.
        ce_on: Hard labels over `all` rows or the `selected` ones.
        kd_term: `kl`, or `mse` between logits.
    """

    title: ClassVar[str] = "DeKD"
    source: ClassVar[str] = "S1 eq. 1–12"
    status: ClassVar[Status] = "gaps filled"

    name: Literal["dekd"] = "dekd"  # pyright: ignore[reportIncompatibleVariableOverride]
    r: float = Field(default=0.5, gt=0, le=1)
    strategy: Strategy = "entropy"
    assistant: bool = True
    ta_depth: int | None = Field(default=None, ge=2, le=1000)
    lambda1: float = Field(default=0.5, ge=0, le=1e6)
    lambda2: float = Field(default=0.3, ge=0, le=1e6)
    lambda3: float = Field(default=0.2, ge=0, le=1e6)
    granularity: Literal["batch", "instance"] = "batch"
    ce_on: Literal["all", "selected"] = "all"
    kd_term: Literal["kl", "mse"] = "kl"

    @model_validator(mode="after")
    def _no_idle_settings(self) -> "DeKD":
        if not (self.lambda1 or self.lambda2 or self.lambda3):
            raise ValueError("lambda1, lambda2 and lambda3 are all 0, so that nothing would be learned")
        if not self.lambda2:
            self.refuse_idle(("assistant", "ta_depth"), because="lambda2 is 0")
        elif not self.assistant:
            self.refuse_idle(("ta_depth",), because="assistant is false")
        if not self.lambda3:
            self.refuse_idle(("granularity",), because="lambda3 is 0")
        if self.r == 1:
            self.refuse_idle(("strategy", "ce_on"), because="r = 1 selects every row")
        if self.kd_term == "mse":
            self.refuse_idle(("temperature", "t2_scaling", "direction"), because="kd_term is mse")
        return self

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"logits", "cls"}) if self.lambda3 else frozenset({"logits"})

    @property
    def uses_assistant(self) -> bool:
        return self.assistant and self.lambda2 > 0  # its term has λ2

    def assistant_depths(self, *, student: int, teacher: int) -> tuple[int, ...]:
        depth = self.ta_depth or middle_depth(student, teacher)
        if not student < depth < teacher:
            raise ConfigError(
                f"method.ta_depth = {depth}, but an assistant lies between the student's {student} and the teacher's "
                f"{teacher} layers; or set method.assistant=false."
            )
        return (depth,)

    def check(self, pair: TeacherStudent) -> None:
        super().check(pair)
        if self.lambda3 and pair.teachers[0].layers < pair.student.layers:
            raise ConfigError(
                f"method dekd aligns {pair.student.layers} student layers, the teacher has {pair.teachers[0].layers}; "
                "set method.lambda3=0 or a shallower student."
            )

    def adapters(self, pair: TeacherStudent) -> nn.Module:
        return student_projection(pair) if self.lambda3 else nn.ModuleDict()

    def weights(self) -> dict[str, float]:
        names = {"hard": self.lambda1, "kd_teacher": self.lambda2}
        names |= {"kd_assistant": self.lambda2} if self.uses_assistant else {}
        return names | ({"layers": self.lambda3} if self.lambda3 else {})

    def terms(self, step: Batch) -> MethodOutput:
        selected = self._selected(step)
        uncertain = self._uncertain(step, selected)
        certain = selected & ~uncertain
        terms = {"kd_teacher": LossTerm(self._kd(step.teachers[0].logits, step.student.logits), certain)}
        queries = {"teacher": selected if self.lambda3 else certain}
        if self.uses_assistant:
            assert step.assistant is not None
            terms["kd_assistant"] = LossTerm(self._kd(step.assistant.logits, step.student.logits), uncertain)
            queries["assistant"] = uncertain
        if self.lambda3:
            terms["layers"] = LossTerm(self._alignment(step, selected), selected)
        return MethodOutput(terms, hard_rows=selected if self.ce_on == "selected" else None, queries=queries)

    def _selected(self, step: Batch) -> Bool[Tensor, " batch"]:
        logits = step.student.logits
        everything = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
        if self.strategy == "random":
            everyone, mine = step.ranks.gather(torch.zeros(len(logits), device=logits.device))
            noise = torch.rand(len(everyone), generator=step.generator("selection")).to(logits.device)
            return most(noise[mine], everything, self.r, step.ranks, at_least=1)
        return most(uncertainty(logits, self.strategy), everything, self.r, step.ranks, at_least=1)

    def _uncertain(self, step: Batch, selected: Bool[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        if not self.uses_assistant:
            return torch.zeros_like(selected)
        return most(uncertainty(step.student.logits, "entropy"), selected, 0.5, step.ranks, at_least=0)

    def _kd(
        self, teacher: Float[Tensor, "batch classes"], student: Float[Tensor, "batch classes"]
    ) -> Float[Tensor, " batch"]:
        if self.kd_term == "mse":
            return mse_rows(teacher, student)
        return self.kl(log_probs(teacher, self.temperature), student)

    def _alignment(self, step: Batch, selected: Bool[Tensor, " batch"]) -> Float[Tensor, " batch"]:
        teacher, student = step.teachers[0].cls, step.student.cls
        assert teacher is not None
        assert student is not None
        teacher, student = teacher[:, 1:], projected(step.adapters, student[:, 1:])  # embeddings take no part
        layers = informative_layers(
            teacher, selected, keep=student.shape[1], granularity=self.granularity, ranks=step.ranks
        )
        wanted = teacher.gather(1, layers.unsqueeze(-1).expand(-1, -1, teacher.shape[-1]))
        return (unit(student) - unit(wanted)).square().sum(dim=(1, 2))


def informative_layers(
    cls: Float[Tensor, "batch layers width"],
    selected: Bool[Tensor, " batch"],
    *,
    keep: int,
    granularity: Literal["batch", "instance"],
    ranks: Ranks,
) -> Tensor:
    """The `keep` layers whose [CLS] vector has the largest softmax entropy (S1 eq. 8-9), by depth; [batch, keep]."""
    richness = entropy_rows(torch.log_softmax(cls.float(), dim=-1)) / math.log(cls.shape[-1])
    if granularity == "batch":
        mine = selected.to(richness.dtype).unsqueeze(1)
        total = ranks.sum(torch.cat([(richness * mine).sum(0), mine.sum(0)]))
        richness = (total[:-1] / total[-1].clamp(min=1)).expand(len(cls), -1)
    chosen = torch.sort(richness, dim=1, descending=True, stable=True).indices[:, :keep]
    return chosen.sort(dim=1).values
