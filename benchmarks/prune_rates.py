"""How much every policy removes: `python benchmarks/prune_rates.py --corpora rte sst2 qnli`.

Whole examples of the official dev split, statistics of that split, embeddings of one encoder, as the paper's rates were
counted; the paper prints one rate a corpus. Nothing is written.
"""

import argparse
import sys
from functools import partial

from kdray.cli.main import guarded
from kdray.cli.show import table
from kdray.corpora import TEST, CorpusSettings, kdray_data, read_corpus
from kdray.pruning import PruneSettings, fit
from kdray.pruning.units import row_units
from kdray.stages import InProcess
from kdray.stages.embeddings import embed
from kdray.stages.prune import encoder_embedder

PAPER = {"sst2": 0.057, "rte": 0.328, "qnli": 0.317}  # S0, the share of the dev split that fell
POLICIES = {
    "lower_tail, star": {"policy": "lower_tail"},
    "lower_tail, nn": {"policy": "lower_tail", "keep_medoids": "nn"},
    "lower_tail, none": {"policy": "lower_tail", "keep_medoids": "none"},
    "literal": {"policy": "literal"},
    "literal_centers": {"policy": "literal_centers"},
    "bottom_quintile": {"policy": "bottom_quintile"},
    "match_rate, the paper's": {},
    "none": {"policy": "none"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpora", nargs="+", default=list(PAPER), choices=list(PAPER))
    parser.add_argument("--encoder", default="minilm")
    arguments = parser.parse_args()
    columns = {name: _rates(name, arguments.encoder) for name in arguments.corpora}
    rows = [{"policy": "the paper"} | {name: PAPER[name] for name in columns}]
    rows += [{"policy": policy} | {name: rates[policy] for name, rates in columns.items()} for policy in POLICIES]
    print(table(rows))


def _rates(name: str, encoder: str) -> dict[str, float]:
    """The share of examples that each policy removes."""
    corpus = read_corpus(CorpusSettings.model_validate({"name": name}), data_dir=kdray_data())
    units = row_units(corpus.splits[TEST], [field.name for field in corpus.task.fields])
    embeddings = embed(units["text"], partial(encoder_embedder, encoder), InProcess(), title=name)
    print(f"{name}: {units.num_rows} examples", file=sys.stderr)
    rates: dict[str, float] = {}
    for policy, plain in POLICIES.items():
        chosen = plain or {"policy": {"name": "match_rate", "rate": PAPER[name]}}
        extra = {} if chosen["policy"] == "none" else {"level": "row", "fit_on": "split"}
        settings = PruneSettings.model_validate(chosen | extra)
        needed = [embeddings] if settings.medoid_rule != "none" else []
        kept = fit(units, needed, settings, level="row").decisions["kept"].to_pylist()
        rates[policy] = 1 - sum(kept) / len(kept)
    return rates


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))
