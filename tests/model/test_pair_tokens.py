"""Texts tokenised once and joined are, token by token, what the tokenizer makes of the pair."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import WORDS, tiny_dataset
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, PythonBackend

from nearfar.errors import BadModel
from nearfar.model.pair_tokens import PairTokens
from nearfar.training.store import open_store

_SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
_VOCABULARY = {word: i for i, word in enumerate(_SPECIAL + WORDS)}


def _template(single: str, pair: str | None) -> Any:
    return processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[("<s>", 2), ("</s>", 3)]
    )


TEMPLATES = {
    "bert": processors.BertProcessing(("</s>", 3), ("<s>", 2)),
    "roberta": processors.RobertaProcessing(("</s>", 3), ("<s>", 2)),
    "xlm-r": _template("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "modernbert": _template("<s> $A </s>", "<s> $A </s> $B:0 </s>"),
    "types": _template("<s> $A </s>", "<s>:0 $A:0 </s>:1 $B:1 </s>:1"),
    "t5": _template("$A </s>", "$A </s> $B:0 </s>"),
    "decoder": _template("<s> $A", "<s> $A <s>:1 $B:1"),
    "single only": _template("<s> $A </s>", None),
    "nothing": None,
    "bytes": processors.ByteLevel(),
}


def _fast(template: Any, side: str = "right") -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel(_VOCABULARY, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template is not None:
        tokenizer.post_processor = template
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", truncation_side=side
    )


class InPython(PythonBackend):  # type: ignore[misc]
    """A tokenizer without the fast library beneath it."""

    @property
    def vocab_size(self) -> int:
        return len(_VOCABULARY)

    def get_vocab(self) -> dict[str, int]:
        return dict(_VOCABULARY)

    def _tokenize(self, text: str) -> list[str]:
        return text.split()

    def _convert_token_to_id(self, token: str) -> int:
        return _VOCABULARY.get(token, 1)

    def _convert_id_to_token(self, index: int) -> str:
        return list(_VOCABULARY)[index]


def _in_python() -> InPython:
    return InPython(
        pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>",
        special_tokens_pattern="cls_double_sep", token_type_ids_pattern="bert_style",
    )  # fmt: skip


def _words(count: int, start: int) -> str:
    return " ".join(WORDS[(start + i) % len(WORDS)] for i in range(count))


def _agrees(tokenizer: PreTrainedTokenizerBase, pairs: Iterable[tuple[int, int]], most: int) -> int:
    """Hold pairs of texts of so many words against the tokenizer; return how many were cut."""
    tokens = PairTokens(tokenizer, most)
    cut = 0
    for query_words, document_words in pairs:
        query, document = _words(query_words, 0), _words(document_words, 50)
        found = tokenizer(
            [(query, document)], truncation="longest_first", max_length=most,
            return_token_type_ids=True,
        )  # fmt: skip
        halves = [tokens([query], "query").rows[0], tokens([document], "document").rows[0]]
        ids, types = tokens.join(*halves)
        where = (query_words, document_words, most)
        assert ids.tolist() == (found["input_ids"][0] or [tokens.pad_id]), where
        assert types.tolist() == (found["token_type_ids"][0] or [0]), where
        assert ids.dtype == types.dtype == np.int32
        lengths = tokens.lengths(*(np.array([len(half)]) for half in halves))
        assert lengths.tolist() == [len(ids)]
        cut += query_words + document_words > tokens.room
    return cut


SIZES = [0, 1, 2, 5, 6, 7, 11, 12, 13, 40]
ALL = [(q, d) for q in SIZES for d in SIZES]


@pytest.mark.parametrize("most", [12, 13])
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_joined_pair_is_that_of_the_tokenizer(name: str, most: int) -> None:
    tokenizer = _fast(TEMPLATES[name])
    room = PairTokens(tokenizer, most).room
    # Of two texts that fill the room none is known to be the longer: see the next test.
    known = [(q, d) for q, d in ALL if min(q, d) < room or q <= d or room % 2 == 0]
    assert _agrees(tokenizer, known, most) > 30


def test_an_odd_place_between_texts_that_each_fill_the_room_is_the_documents() -> None:
    tokens = PairTokens(_fast(TEMPLATES["bert"]), 12)
    assert tokens.room == 9
    halves = [tokens([_words(n, 0)], "query").rows[0] for n in (20, 15)]
    assert [len(half) for half in halves] == [9, 9]
    _, types = tokens.join(*halves)
    assert types.tolist() == [0] * 6 + [1] * 6  # [CLS] 4 [SEP] 5 [SEP]


def test_where_the_tokenizer_cuts_on_the_left_so_do_we() -> None:
    assert _agrees(_fast(TEMPLATES["xlm-r"], side="left"), ALL, 14) > 30


@pytest.mark.parametrize("most", [12, 13])
def test_a_tokenizer_in_python_joins_and_cuts_in_its_own_way(most: int) -> None:
    tokenizer = _in_python()
    assert not tokenizer.is_fast
    assert _agrees(tokenizer, ALL, most) > 30


def test_a_text_is_cut_at_the_room_of_a_pair_and_said_so() -> None:
    tokens = PairTokens(_fast(TEMPLATES["bert"]), 12)
    found = tokens([_words(9, 0), _words(10, 0), ""], "document")
    assert [len(row) for row in found.rows] == [9, 9, 0]
    assert found.truncated == [False, True, False]
    assert tokens([], "query").rows == []
    with pytest.raises(ValueError, match="a list of texts"):
        tokens("one", "query")


def test_a_prompt_stands_before_its_role_alone() -> None:
    tokens = PairTokens(_fast(None), 12, query_prompt="ba ")
    assert tokens(["be"], "query").rows[0] == [_VOCABULARY["ba"], _VOCABULARY["be"]]
    assert tokens(["be"], "document").rows[0] == [_VOCABULARY["be"]]


def test_the_template_is_part_of_the_name() -> None:
    digests = {name: PairTokens(_fast(one), 12).digest() for name, one in TEMPLATES.items()}
    alike = [{"nothing", "bytes", "single only"}, {"roberta", "xlm-r"}]
    assert len(set(digests.values())) == len(TEMPLATES) - 3
    for names in alike:  # what they do to a pair is the same
        assert len({digests[name] for name in names}) == 1
    assert PairTokens(_fast(None, side="left"), 12).digest() != digests["nothing"]


def test_a_template_that_turns_the_pair_round_is_refused() -> None:
    with pytest.raises(BadModel, match="puts a query before its document"):
        PairTokens(_fast(_template("$A", "<s> $B $A </s>")), 12)


def test_the_token_store_takes_the_contract_as_it_is(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "data")
    tokens = PairTokens(_fast(TEMPLATES["bert"]), 20)
    store = open_store(tmp_path / "store", dataset, tokens)
    rows = [store[i].tolist() for i in range(len(store))]
    assert not {2, 3} & {id_ for row in rows for id_ in row}  # no special tokens
    ids, _ = tokens.join(store[0], store[len(store) - 1])
    assert ids[0] == 2
    assert ids[-1] == 3
    assert open_store(tmp_path / "store", dataset, PairTokens(_fast(None), 20)).name != store.name
