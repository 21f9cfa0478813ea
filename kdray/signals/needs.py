"""The words in which a method says what it needs from a teacher."""

from typing import Literal

Need = Literal["logits", "cls", "sent_emb", "mc_probs", "hidden", "attn", "qkv", "qkv_last"]

# A vector a token: too large to keep on disk, so the teacher runs beside the student, on the student's tokens.
TOKEN_NEEDS: frozenset[Need] = frozenset({"hidden", "attn", "qkv", "qkv_last"})

# What a student never says: a forward pass of it does not give these.
TEACHER_NEEDS: frozenset[Need] = frozenset({"mc_probs"})
