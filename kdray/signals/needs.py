"""The words in which a method says what it needs from a teacher."""

from typing import Literal

Need = Literal["logits", "cls", "sent_emb", "qkv_last", "hidden", "attn", "online"]
