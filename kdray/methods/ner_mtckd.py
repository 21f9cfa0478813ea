"""Teachers one after the other, in a cycle, while the student's own score decides when to change.

Source: Jin and Yang, in S2 §2.3.
Formula: (1 − α)·CE + α·T²·KL(softmax(z_k/T) ‖ softmax(z_s/T)). Teachers stand in the order of their validation scores,
    the lowest first. k stays while an epoch lifts the student's best validation score by `gain` points or more;
    otherwise it is the next one, and after the last one the first. The training ends when a whole cycle of teachers has
    not lifted it; epochs before the first score above 0 do not count.
Needs: logits of K ≥ 2 teachers, cached, and the student's validation score after each epoch.
Refuses: fewer than two teachers, other class counts.
Defaults: T = 5, α = 0.5, `gain` 0.1 points (hundredths of the score).
Differs from the source: only its abstract was at hand. Our choices are α, T, the best score so far as the one that
    counts for a gain, and the rule for epochs before the first score above 0. The method was made for tags of words
    and works for rows of one class, too.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field

from kdray.methods.contract import Batch, MethodOutput, MethodState, PriorOutputs, Status
from kdray.methods.ensembles import soft_terms
from kdray.methods.losses import log_probs
from kdray.methods.soft_labels import SoftLabels


class NERMTCKD(SoftLabels):
    """Soft labels of one teacher at a time.

    Attributes:
        gain: Points (hundredths of the score) that an epoch must lift the student's best score by, for its teacher to
            stay.
    """

    title: ClassVar[str] = "Cyclic teachers for NER"
    source: ClassVar[str] = "Jin and Yang; S2 §2.3"
    status: ClassVar[Status] = "gaps filled"
    min_teachers: ClassVar[int] = 2
    max_teachers: ClassVar[int | None] = None

    name: Literal["ner_mtckd"] = "ner_mtckd"  # pyright: ignore[reportIncompatibleVariableOverride]
    gain: float = Field(default=0.1, ge=0, le=100)

    def prepare(self, evidence: PriorOutputs) -> MethodState:
        """The teachers' numbers, the lowest score first; of equals, the earlier teacher."""
        scores = torch.tensor(evidence.scores(), dtype=torch.float64)
        return {"order": torch.argsort(scores, stable=True)}

    def teacher_at(self, scores: Sequence[float]) -> tuple[int, int]:
        """How often the teacher has changed, and how many changes ago the last gain was.

        Args:
            scores: The student's after each epoch; higher is better.
        """
        changes, idle, best = 0, 0, float("-inf")
        for score in scores:
            if score >= best + self.gain / 100 - 1e-12:  # 0.501 - 0.5 is a little less than 0.001
                idle = 0
            else:
                changes, idle = changes + 1, idle + 1
            best = max(best, score)
            if best == 0:  # a student that has found no entity yet is at its beginning, not at its end
                idle = 0
        return changes, idle

    def ends(self, scores: Sequence[float], *, teachers: int) -> bool:
        return self.teacher_at(scores)[1] >= teachers

    def terms(self, step: Batch) -> MethodOutput:
        order = step.prepared["order"]
        current = int(order[self.teacher_at(step.scores)[0] % len(order)])
        return soft_terms(step, log_probs(step.teachers[current].logits, self.temperature), self, of_one=True)
