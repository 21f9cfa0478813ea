"""config.json of a model that is no transformer."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from kdray.errors import ConfigError
from kdray.models.folders import MOST_VALUES, read_json

ARCHITECTURE = "kdray_architecture"  # the key of config.json that holds an architecture's name and settings


@dataclass
class NetworkConfig:
    """
    Attributes:
        kdray_architecture: The architecture's name and settings.
        vocab_size: Rows of the word table.
        pad_token_id: The row of the padding token.
        type_vocab_size: 2 if the network reads token types, else 1.
        vector_width: Width of the word vectors that the network was built with; 0 for random ones.
    """

    kdray_architecture: dict[str, Any]
    id2label: dict[int, str]
    vocab_size: int
    pad_token_id: int
    type_vocab_size: int
    vector_width: int
    problem_type: str = "single_label_classification"

    @property
    def num_labels(self) -> int:
        return len(self.id2label)

    @property
    def model_type(self) -> str:
        """The architecture's name in short, for messages about a family of models."""
        return str(self.kdray_architecture["name"]).partition("@")[0].rpartition(":")[2]

    def write(self, folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    @staticmethod
    def read(folder: Path) -> "NetworkConfig | None":
        """None where config.json is one of transformers.

        Raises:
            ConfigError: It is damaged.
        """
        plain = read_json(folder / "config.json")
        if ARCHITECTURE not in plain:
            return None
        try:
            found = NetworkConfig(**{each.name: plain[each.name] for each in fields(NetworkConfig)})
            found.id2label = {int(number): str(label) for number, label in found.id2label.items()}
            sizes: tuple[Any, ...] = (found.vocab_size, found.pad_token_id, found.vector_width)
            if not all(isinstance(size, int) and 0 <= size <= MOST_VALUES for size in sizes):
                raise ValueError(f"vocab_size, pad_token_id and vector_width are whole numbers up to {MOST_VALUES:,}")
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"{folder / 'config.json'} is damaged ({error}); save the model again.") from None
        return found
