"""Trimmed word tables: what is kept, that nothing else changes, and what is refused."""

from collections import Counter
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest
import tiny
import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from kdray.errors import ConfigError
from kdray.models import Narrow, changed_rows, check_saves, load_tokenizer, narrowed, token_counts, trim_vocabulary

TEXTS = ["the film was very good", "a bad film", "it was unwatchable and it was long"]
OTHER = "very watchable longings"
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def word_pieces(folder: Path) -> Any:
    words = ["[PAD]", "[UNK]", "unused", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film", "the", "was", "very"]
    words += ["and", "it", "un", "##watch", "##able", "##ab", "long", "##ing", *ascii_lowercase]
    words += ["##" + letter for letter in ascii_lowercase]
    (folder / "vocab.txt").write_text("\n".join(words))
    return hf.BertTokenizer(vocab=str(folder / "vocab.txt"), model_max_length=64)


def trained(model: Any, trainer: Any, folder: Path) -> Any:
    tokenizer: Any = Tokenizer(model)
    is_bpe = isinstance(model, models.BPE)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel() if is_bpe else pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.ByteLevel() if is_bpe else decoders.Metaspace()
    tokenizer.train_from_iterator([*TEXTS, OTHER, "films goods badly unfilmable watching it"] * 5, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("</s>", "<s>")]
    tokenizer.post_processor = (
        processors.RobertaProcessing(*ends)
        if is_bpe
        else processors.TemplateProcessing("<s> $A </s>", "<s> $A </s> $B </s>", ends)
    )
    tokenizer.save(str(folder / "raw.json"))
    more = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    return hf.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "raw.json"), unk_token="<unk>", model_max_length=64, **more
    )


def byte_pairs(folder: Path) -> Any:
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return trained(models.BPE(), trainer, folder)


def unigrams(folder: Path) -> Any:
    trainer = trainers.UnigramTrainer(
        vocab_size=70, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False, max_piece_length=8
    )
    return trained(models.Unigram(), trainer, folder)


@pytest.fixture(params=[word_pieces, byte_pairs, unigrams], ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    """A model and its tokenizer."""
    request.param(tmp_path).save_pretrained(tmp_path / "model")
    shape: dict[str, Any] = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2}
    if request.param is byte_pairs:
        config: Any = hf.RobertaConfig(vocab_size=400, pad_token_id=1, intermediate_size=32, **shape)
        kind: Any = hf.RobertaForSequenceClassification
    else:
        padding = 1 if request.param is unigrams else 0
        config = hf.BertConfig(vocab_size=100, pad_token_id=padding, intermediate_size=32, **shape)
        kind = hf.BertForSequenceClassification
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind(config).eval()
    model.save_pretrained(tmp_path / "model")
    return model, load_tokenizer(tmp_path / "model", model)


def logits(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer(texts, return_tensors="pt", padding=True)).logits


def test_the_given_texts_get_the_same_logits_from_fewer_tokens(made: tuple[Any, Any]) -> None:
    model, tokenizer = made
    before, tokens = logits(model, tokenizer, TEXTS), [tokenizer.tokenize(text) for text in TEXTS]
    size = model.config.vocab_size
    trimmed = trim_vocabulary(model, tokenizer, TEXTS)
    assert model.config.vocab_size == model.get_input_embeddings().num_embeddings == len(trimmed) < size
    assert [trimmed.tokenize(text) for text in TEXTS] == tokens
    assert torch.equal(logits(model, trimmed, TEXTS), before)
    assert changed_rows(tokenizer, trimmed, [TEXTS]) == 0


def test_every_other_text_can_still_be_spelled(made: tuple[Any, Any]) -> None:
    model, tokenizer = made
    assert tokenizer.unk_token not in tokenizer.tokenize(OTHER)
    trimmed = trim_vocabulary(model, tokenizer, TEXTS[:1])
    assert trimmed.unk_token not in trimmed.tokenize(OTHER)
    assert len(trimmed.tokenize(OTHER)) > len(tokenizer.tokenize(OTHER))
    assert changed_rows(tokenizer, trimmed, [[TEXTS[0], OTHER], [TEXTS[0], TEXTS[0]]]) == 1


def test_the_trimmed_model_is_the_same_after_it_was_saved(made: tuple[Any, Any], tmp_path: Path) -> None:
    model, tokenizer = made
    trimmed = trim_vocabulary(model, tokenizer, TEXTS)
    check_saves(model, trimmed, "a model")
    model.save_pretrained(tmp_path / "again")
    trimmed.save_pretrained(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again", model)
    assert [again(text)["input_ids"] for text in TEXTS] == [trimmed(text)["input_ids"] for text in TEXTS]
    assert (again.pad_token, again.unk_token) == (tokenizer.pad_token, tokenizer.unk_token)
    assert again.pad_token_id == model.config.pad_token_id


def test_with_a_factorized_table_the_same_tokens_are_kept(made: tuple[Any, Any], tmp_path: Path) -> None:
    """Any tokenizer may lie in the folder of an ELECTRA model, and positions are counted from no padding there."""
    model, tokenizer = made
    cut = narrowed(model, Narrow(embedding_rank=8), seed=0)
    before = logits(cut, tokenizer, TEXTS)
    trimmed = trim_vocabulary(cut, tokenizer, TEXTS[:2])
    assert cut.get_input_embeddings().weight.shape == (len(trimmed), 8)
    torch.testing.assert_close(logits(cut, trimmed, TEXTS[:2]), before[:2], rtol=0, atol=1e-6)
    cut.save_pretrained(tmp_path / "again")
    trimmed.save_pretrained(tmp_path / "again")
    again = load_tokenizer(tmp_path / "again", cut)
    assert [again(text)["input_ids"] for text in TEXTS] == [trimmed(text)["input_ids"] for text in TEXTS]


def test_tokens_are_counted_with_the_special_ones_of_each_text(made: tuple[Any, Any]) -> None:
    _, tokenizer = made
    found = token_counts(tokenizer, TEXTS)
    words = tokenizer(TEXTS)["input_ids"]
    assert len(found) == len(tokenizer)
    assert {n: count for n, count in enumerate(found) if count} == Counter(n for row in words for n in row)


def test_a_tokenizer_of_whole_words_cannot_be_trimmed(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "film": 2}, unk_token="<unk>"))
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", unk_token="<unk>")
    with pytest.raises(ConfigError, match=r"vocabulary = trim: the tokenizer is of the kind WordLevel; allowed are"):
        trim_vocabulary(tiny.classifier(seed=0), tokenizer, TEXTS)
