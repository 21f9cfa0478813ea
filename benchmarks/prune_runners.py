"""The runners of `benchmarks/prune.py`, each a process: `prune_runners.py NAME CORPUS ENCODER STORE OUT`."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LENGTH, BATCH, DEVIATIONS = 128, 32, 0.5


def kdray_prune(corpus: Path, encoder: Path, store: Path) -> np.ndarray:
    from kdray.api.stages import run_stage
    from kdray.config import load
    from kdray.engines import Ray
    from kdray.pruning import HASH_COLUMN

    recipe = Path(__file__).parent.parent / "recipes" / "prune.yaml"
    settings = {
        "store": store,
        "corpus.name": "folder",
        "corpus.path": corpus,
        "corpus.labels": "[bad, good]",
        "prune.level": "row",
        "prune.keep_medoids": "nn",
        "prune.embedders": encoder,
    }
    found = run_stage(load(recipe, [f"{k}={v}" for k, v in settings.items()]), "prune", engine=Ray(), texts=0)
    decisions = pq.read_table(Path(found["pruned"]) / "decisions.parquet")
    assert HASH_COLUMN not in decisions.column_names
    return decisions["kept"].to_numpy().astype(np.bool_)


def sentence_transformers(corpus: Path, encoder: Path, store: Path) -> np.ndarray:
    from sentence_transformers import SentenceTransformer, models

    word = models.Transformer(str(encoder), max_seq_length=LENGTH)
    model = SentenceTransformer(modules=[word, models.Pooling(word.get_word_embedding_dimension())], device="cpu")
    texts = _texts(corpus)
    embeddings = model.encode(texts, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False)
    return _decided(texts, embeddings)


def ray_data(corpus: Path, encoder: Path, store: Path) -> np.ndarray:
    import ray
    import ray.data

    ray.init("local", log_to_driver=False)
    rows = pq.read_table(corpus / "train.parquet", columns=["text"])
    rows = rows.append_column("row", pa.array(range(len(rows))))
    dataset = ray.data.from_arrow(rows).repartition(int(ray.cluster_resources()["CPU"]) * 4)
    made = dataset.map_batches(
        _Embed,
        fn_constructor_kwargs={"encoder": str(encoder)},
        batch_size=BATCH,
        compute=ray.data.ActorPoolStrategy(size=int(ray.cluster_resources()["CPU"])),
        num_cpus=0.5,
    ).to_pandas()
    made = made.sort_values("row")
    embeddings = np.stack(made["embedding"].to_list())
    ray.shutdown()
    return _decided(rows["text"].to_pylist(), embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True))


class _Embed:
    def __init__(self, encoder: str) -> None:
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(1)
        self._model: Any = AutoModel.from_pretrained(encoder, trust_remote_code=False).eval()
        self._tokenizer = AutoTokenizer.from_pretrained(encoder, trust_remote_code=False)

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        import torch

        inputs = self._tokenizer(
            batch["text"].tolist(), padding=True, truncation=True, max_length=LENGTH, return_tensors="pt"
        )
        with torch.inference_mode():
            states = self._model(**inputs).last_hidden_state
        mask = inputs["attention_mask"].unsqueeze(-1)
        return {"row": batch["row"], "embedding": ((states * mask).sum(1) / mask.sum(1)).numpy()}


def _texts(corpus: Path) -> list[str]:
    return pq.read_table(corpus / "train.parquet", columns=["text"])["text"].to_pylist()


def _decided(texts: list[str], embeddings: np.ndarray) -> np.ndarray:
    """The usual script: sums of TF-IDF below mean − half a deviation fall, unless somebody's nearest neighbor."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    scores = np.asarray(TfidfVectorizer(token_pattern=r"\b\w\w+\b").fit_transform(texts).sum(axis=1)).ravel()
    importance = (scores - scores.min()) / (scores.max() - scores.min())
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, 0.0)
    medoids = np.zeros(len(texts), dtype=np.bool_)
    medoids[cosines.argmax(axis=1)] = True
    return (importance >= importance.mean() - DEVIATIONS * importance.std()) | medoids


RUNNERS = {"kdray": kdray_prune, "sentence-transformers": sentence_transformers, "ray-data": ray_data}

if __name__ == "__main__":
    name, *paths = sys.argv[1:]
    corpus, encoder, store, out = map(Path, paths)
    np.save(out, RUNNERS[name](corpus, encoder, store))
