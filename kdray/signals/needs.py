"""Names of the signals that a method can need from a teacher."""

from typing import Literal

Need = Literal["logits", "cls", "sent_emb", "mc_probs", "hidden", "attn", "qkv", "qkv_last"]

# One vector per token: too large for the disk, so the teacher runs during training, on the student's tokens.
TOKEN_NEEDS: frozenset[Need] = frozenset({"hidden", "attn", "qkv", "qkv_last"})

# Signals of teachers only: a student's forward pass does not give these.
TEACHER_NEEDS: frozenset[Need] = frozenset({"mc_probs"})
