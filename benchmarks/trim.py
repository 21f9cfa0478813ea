"""An encoder with the tokens of some corpora alone: `python benchmarks/trim.py e5 e5-chinese resume_ner weibo_ner`.

A multilingual encoder has a quarter of a million tokens, and every optimizer step of AdamW updates all of them. The new
folder has those that the train rows of the named corpora use, special tokens and single characters; it serves as
`encoder` of teachers and students. Other texts are still tokenized, into smaller parts.
"""

import argparse
import sys
from pathlib import Path

from kdray.cli.main import guarded
from kdray.corpora import CorpusSettings, kdray_data, read_corpus
from kdray.models import TRANSFORMER, load_tokenizer, resolve_encoder, trim_vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("encoder", help="a name or a folder")
    parser.add_argument("out", type=Path, help="a new folder")
    parser.add_argument("corpora", nargs="+", help="named corpora")
    arguments = parser.parse_args()
    texts = [text for name in arguments.corpora for text in _texts(name)]
    folder = resolve_encoder(arguments.encoder).folder
    model = TRANSFORMER.build(folder, labels=["0", "1"], seed=0)
    tokens = model.config.vocab_size
    tokenizer = trim_vocabulary(model, load_tokenizer(folder, model), texts)
    arguments.out.mkdir(parents=True)
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    print(f"{len(texts):,} texts; {model.config.vocab_size:,} of {tokens:,} tokens; written to {arguments.out}")


def _texts(name: str) -> list[str]:
    corpus = read_corpus(CorpusSettings(name=name), data_dir=kdray_data())
    columns = [corpus.splits["train"][field.name].to_pylist() for field in corpus.task.fields]
    return [" ".join(text) if isinstance(text, list) else text for column in columns for text in column]


if __name__ == "__main__":
    sys.exit(guarded(main, debug=False))
