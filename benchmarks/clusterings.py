"""How well clusterings of the units separate, as S0 Figure 3 asks: `python benchmarks/clusterings.py --corpus rte`.

Whole examples of the official dev split, embeddings of one encoder. Prints clusters, medoids, silhouette by distance
1 − cosine, and seconds of each; nothing is written.
"""

import argparse
import sys
import time
from functools import partial
from typing import get_args

import numpy as np

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import TEST, CorpusSettings, kdray_data, read_corpus
from kdray.pruning.clusters import silhouette, star_clusters
from kdray.pruning.graph import cosine_weights
from kdray.pruning.sklearn_clustering import Comparator, sklearn_clusters
from kdray.pruning.units import row_units
from kdray.stages import InProcess
from kdray.stages.embeddings import embed
from kdray.stages.prune import encoder_embedder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", default="rte")
    parser.add_argument("--encoder", default="minilm")
    parser.add_argument("--limit", type=int, help="only so many examples")
    parser.add_argument("--clusters", type=int, help="how many, for those that are told (default: as many as star)")
    arguments = parser.parse_args()
    corpus = read_corpus(CorpusSettings.model_validate({"name": arguments.corpus}), data_dir=kdray_data())
    rows = corpus.splits[TEST].slice(0, arguments.limit)
    units = row_units(rows, [field.name for field in corpus.task.fields])
    weights = cosine_weights(
        [embed(units["text"], partial(encoder_embedder, arguments.encoder), InProcess(), title="embed")]
    )
    star = star_clusters(weights)
    number = arguments.clusters or int(star.labels.max()) + 1
    print(f"{arguments.corpus}: {units.num_rows} examples", file=sys.stderr)
    found = []
    for name in ("star", *get_args(Comparator)):
        start = time.perf_counter()
        clusters = star_clusters(weights) if name == "star" else sklearn_clusters(name, weights, number)
        seconds = time.perf_counter() - start
        found.append(
            {
                "clustering": name,
                "clusters": len(np.unique(clusters.labels)),
                "medoids": int(clusters.medoids.sum()),
                "silhouette": silhouette(weights, clusters.labels),
                "seconds": seconds,
            }
        )
    print(table(found))


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))
