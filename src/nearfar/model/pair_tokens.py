"""The contract from two texts to the tokens of their pair: each text tokenised once, joined often.

A tokenizer puts its special tokens before, between and after the two texts, whatever they say.
These are asked for once; a pair is then a few arrays, one after the other.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from nearfar.errors import BadModel
from nearfar.fingerprint import canonical_json
from nearfar.model.tokens import ASKING, TEXTS_AT_ONCE, TextToTokens, Tokens
from nearfar.records import Role

Ids = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int64]
_Texts = TypeVar("_Texts", list[int], Ids)
Row = tuple[Ids, Ids]  # the tokens of a pair, and of which of its texts each is


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """What a tokenizer puts around two texts: tokens, and the type of each."""

    before: tuple[tuple[int, int], ...]
    query_type: int
    between: tuple[tuple[int, int], ...]
    document_type: int
    after: tuple[tuple[int, int], ...]
    cuts_left: bool  # long texts lose their beginning, not their end
    odd_to_query: bool  # where both are cut: an odd place goes to the query, not to the longer

    @property
    def special(self) -> int:
        """How many tokens it adds."""
        return len(self.before) + len(self.between) + len(self.after)


@dataclass(frozen=True, slots=True)
class PairTokens(TextToTokens):
    """Everything that decides which ids a query and a document become together."""

    query_prompt: str = field(default="", kw_only=True)
    document_prompt: str = field(default="", kw_only=True)
    template: PairTemplate = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "template", _template(self.tokenizer))

    @property
    def room(self) -> int:
        """How many tokens both texts may have together."""
        return self.max_tokens - self.template.special

    def __call__(self, contents: Sequence[str], role: Role) -> Tokens:
        """Return the ids of each content, prompt included, without special tokens.

        A text is cut at the room of a pair: no pair can hold more of it. A text without a
        token has none here.

        Raises:
            ValueError: one text came instead of a list of texts.
        """
        texts = self._prompted(contents, role)
        rows: list[list[int]] = []
        truncated: list[bool] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            whole = self._whole(texts[start : start + TEXTS_AT_ONCE])
            rows += [_cut(row, self.room, self.template.cuts_left) for row in whole]
            truncated += [len(row) > self.room for row in whole]
        return Tokens(rows, truncated)

    def lengths(self, query_lengths: Lengths, document_lengths: Lengths) -> Lengths:
        """Return how many tokens each pair has, joined, from those of its two texts."""
        together: Lengths = np.minimum(query_lengths + document_lengths, self.room)
        return np.maximum(together + self.template.special, 1)

    def join(self, query_ids: Sequence[int] | Ids, document_ids: Sequence[int] | Ids) -> Row:
        """Return the ids of a pair, special tokens included, and of which text each is.

        They are those of `tokenizer(query, document, truncation="longest_first")`: the longer
        text is cut until both are of one length, then both in turn. One case differs: of two
        texts that each fill the room, none is known to be the longer, and an odd place goes to
        the document.

        A pair without a single token is read as one token of padding.
        """
        template = self.template
        query_share, document_share = self._shares(len(query_ids), len(document_ids))
        query = _cut(_array(query_ids), query_share, template.cuts_left)
        document = _cut(_array(document_ids), document_share, template.cuts_left)
        parts = (template.before, template.between, template.after)
        before, between, after = (_array([id_ for id_, _ in part]) for part in parts)
        ids = np.concatenate([before, query, between, document, after])
        before, between, after = (_array([kind for _, kind in part]) for part in parts)
        first = np.full(query_share, template.query_type, dtype=np.int32)
        second = np.full(document_share, template.document_type, dtype=np.int32)
        types = np.concatenate([before, first, between, second, after])
        return (ids, types) if len(ids) else (_array([self.pad_id]), _array([0]))

    def digest(self) -> str:
        """Return the SHA-256 of all that turns two texts into tokens, but for prompts."""
        template = self.template
        facts = {
            "texts": TextToTokens.digest(self),  # super() fails in a dataclass with slots
            "template": [template.before, template.between, template.after],
            "types": [template.query_type, template.document_type],
            "cuts": [template.cuts_left, template.odd_to_query],
        }
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    def _shares(self, query: int, document: int) -> tuple[int, int]:
        """Return how many tokens of each text stay."""
        room = self.room
        if query + document <= room:
            return query, document
        half = room // 2
        if min(query, document) <= half:
            return (query, room - query) if query < document else (room - document, document)
        to_query = self.template.odd_to_query or query > document
        return (room - half, half) if to_query else (half, room - half)

    def _whole(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        with ASKING:
            found = self.tokenizer(
                texts, add_special_tokens=False, return_attention_mask=False,
                return_token_type_ids=False, verbose=False,
            )  # fmt: skip
        rows: list[list[int]] = found["input_ids"]
        return rows


def some_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a text that has a token: a tokenizer that knows no other word knows its own."""
    for text in ("one", *tokenizer.get_vocab()):
        if tokenizer(text, add_special_tokens=False)["input_ids"]:
            return text
    raise BadModel(f"{tokenizer.name_or_path}: expected a tokenizer that knows a word, found none.")


def _array(ids: Sequence[int] | Ids) -> Ids:
    return np.asarray(ids, dtype=np.int32)


def _cut(ids: _Texts, share: int, from_left: bool) -> _Texts:
    return ids[max(len(ids) - share, 0) :] if from_left else ids[:share]


def _template(tokenizer: PreTrainedTokenizerBase) -> PairTemplate:
    cuts_left = tokenizer.truncation_side == "left"
    if not tokenizer.is_fast:
        anyhow: Any = tokenizer  # its own words for building a pair carry no types
        ids = list(anyhow.build_inputs_with_special_tokens([-1], [-2]))
        types = list(anyhow.create_token_type_ids_from_sequences([-1], [-2]))
        sides = [{-1: 0, -2: 1}.get(id_) for id_ in ids]
        return _parsed(tokenizer, ids, types, sides, cuts_left)
    probe = some_text(tokenizer)
    found = tokenizer(probe, probe, return_token_type_ids=True, verbose=False)
    return _parsed(
        tokenizer, found["input_ids"], found["token_type_ids"], found.sequence_ids(0), cuts_left
    )


def _parsed(
    tokenizer: PreTrainedTokenizerBase,
    ids: list[int],
    types: list[int],
    sides: list[int | None],
    cuts_left: bool,
) -> PairTemplate:
    places = [[i for i, side in enumerate(sides) if side == text] for text in (0, 1)]
    (first, last), (start, end) = ((of[0], of[-1] + 1) if of else (0, 0) for of in places)
    in_one_piece = [last - first, end - start] == [len(of) for of in places]
    if not (all(places) and in_one_piece and last <= start):
        raise BadModel(
            f"{tokenizer.name_or_path}: expected a tokenizer that puts a query before its "
            f"document, each once, found a pair made of the parts {sides}. Give it such a "
            "template for pairs."
        )
    special = list(zip(ids, types, strict=True))
    return PairTemplate(
        before=tuple(special[:first]),
        query_type=types[first],
        between=tuple(special[last:start]),
        document_type=types[start],
        after=tuple(special[end:]),
        cuts_left=cuts_left,
        odd_to_query=not tokenizer.is_fast,
    )
