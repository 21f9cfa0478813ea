"""Several classifiers under one head, trained together; each is an ordinary classifier again when it is saved."""

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from kdray.errors import ConfigError


class JointClassifier(nn.Module):
    """Encoders of their own, with the pooling and prediction layers of the first one for all.

    In training mode the logits of all members lie side by side, [batch, members · classes]; in eval mode they are those
    of the mean of the members' probabilities, [batch, classes].

    Source: the first stage of MT-BERT, Wu et al. 2021.

    Raises:
        ConfigError: The members are of different architectures or widths, so that no head fits all.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        first = members[0]
        for other in members[1:]:
            if type(other) is not type(first) or other.config.hidden_size != first.config.hidden_size:
                raise ConfigError(
                    "teachers that are fine-tuned together share one head, so they must be of one architecture and "
                    f"width: found {_shape(first)} and {_shape(other)}; set teacher_training=separate."
                )
            for owner, name, module in _head(first, other):
                delattr(owner, name)  # lent, not owned: one name a parameter in optimizers and checkpoints
                owner.__dict__[name] = module
        self.members = nn.ModuleList(members)
        self.config: Any = first.config

    @property
    def base_model(self) -> Any:
        """The first member's, for those who ask how deep it is."""
        return self.members[0].base_model

    def forward(self, *, output_hidden_states: bool = False, **batch: Tensor) -> SequenceClassifierOutput:
        del output_hidden_states  # no method learns from the states of several models at once
        logits = [member(**batch).logits for member in self.members]
        if self.training:
            return SequenceClassifierOutput(logits=torch.cat(logits, dim=1))
        return SequenceClassifierOutput(logits=torch.stack(logits).softmax(-1).mean(0).log())

    def save_pretrained(self, folder: Path) -> None:
        """A Hugging Face folder a member, named 0, 1, ..."""
        for number, member in enumerate(self.members):
            whole: Any = copy.deepcopy(member)
            for owner, name, _ in _head(self.members[0], whole):
                if name in owner.__dict__:
                    owner.register_module(name, owner.__dict__.pop(name))
            whole.save_pretrained(folder / str(number))


def _head(first: Any, other: Any) -> Iterator[tuple[nn.Module, str, nn.Module]]:
    """Everything of `first` above its layers: the module of `other` that holds its own, its name there, the first's."""
    for name, module in list(first.named_children()):
        if name != first.base_model_prefix:
            yield other, name, module
    if getattr(first.base_model, "pooler", None) is not None:
        yield other.base_model, "pooler", first.base_model.pooler


def _shape(model: Any) -> str:
    return f"{type(model).__name__} of width {model.config.hidden_size}"
