"""The contract from text to tokens: the one way in which any room turns text into ids."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from nearfar.fingerprint import canonical_json
from nearfar.records import Role

# What these become betrays case folding, accents, scripts, numbers, spaces and special tokens.
_PROBES = (
    "Hello, World! don't re-run it",
    "naïve café Ångström ﬁn ½ İstanbul",
    "深層学習 とても 한국어 Привет ελληνικά العربية हिन्दी",
    "  two  spaces\tand\nlines\u200b\u00a0end ",
    "3.14159 1,000,000 x_1=y**2 #tag @user http://a.b/c?d=e",
    "👩‍🚀🇫🇷 antidisestablishmentarianism [SEP] <s> </s> [MASK] <mask>",
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts as ids, row by row, with what was cut off."""

    rows: list[list[int]]
    truncated: list[bool]


@dataclass(frozen=True, slots=True)
class TextToTokens:
    """Everything that decides which ids a text becomes."""

    tokenizer: PreTrainedTokenizerBase
    query_prompt: str
    document_prompt: str
    max_tokens: int

    @property
    def pad_id(self) -> int:
        """The id that fills up short rows; no number may depend on it."""
        return int(self.tokenizer.pad_token_id or 0)

    def prompted(self, content: str, role: Role) -> str:
        """Return the text as the model sees it."""
        return (self.query_prompt if role == "query" else self.document_prompt) + content

    def __call__(self, contents: Sequence[str], role: Role) -> Tokens:
        """Return the ids of each content, prompt and special tokens included."""
        if not contents:
            return Tokens([], [])
        found = self._tokenise([self.prompted(content, role) for content in contents])
        if found.encodings is not None:
            truncated = [bool(encoding.overflowing) for encoding in found.encodings]
        else:  # a tokenizer in plain Python does not tell: a full row may have been cut
            truncated = [len(row) >= self.max_tokens for row in found["input_ids"]]
        return Tokens(found["input_ids"], truncated)

    def count(self, contents: Sequence[str], role: Role) -> list[int]:
        """Return how many tokens each content has, without the limit."""
        if not contents:
            return []
        prompted = [self.prompted(content, role) for content in contents]
        found = self.tokenizer(prompted, return_attention_mask=False, verbose=False)
        return [len(row) for row in found["input_ids"]]

    def digest(self) -> str:
        """Return the SHA-256 of the vocabulary and of what fixed probe texts become.

        Behaviour rather than the tokenizer's file: the same tokenizer, saved by another
        version of the library, keeps its name.
        """
        facts = {
            "vocabulary": sorted(self.tokenizer.get_vocab().items()),
            "probes": [self.tokenizer(probe)["input_ids"] for probe in _PROBES],
        }
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    def _tokenise(self, texts: list[str]) -> Any:
        return self.tokenizer(
            texts,
            truncation=True,
            max_length=self.max_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
