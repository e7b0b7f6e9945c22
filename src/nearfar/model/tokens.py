"""The contract from text to tokens: the one way in which any room turns text into ids."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from nearfar.fingerprint import canonical_json
from nearfar.records import Role

# A tokenizer keeps in itself whether it cuts: threads that ask for either would cut each other's.
ASKING = threading.Lock()
TEXTS_AT_ONCE = 256  # a tokenizer keeps some hundred bytes a token until all are done

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
        return {"query": self.query_prompt, "document": self.document_prompt}[role] + content

    def __call__(self, contents: Sequence[str], role: Role) -> Tokens:
        """Return the ids of each content, prompt and special tokens included.

        A text without a single token, special ones included, is read as one token of padding:
        it must have some vector, and the same in any company.

        Raises:
            ValueError: one text came instead of a list of texts.
        """
        texts = self._prompted(contents, role)
        rows: list[list[int]] = []
        truncated: list[bool] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            found = self._tokenise(texts[start : start + TEXTS_AT_ONCE])
            some = [row or [self.pad_id] for row in found["input_ids"]]
            rows += some
            if found.encodings is not None:
                truncated += [bool(encoding.overflowing) for encoding in found.encodings]
            else:
                truncated += self._truncated(some, contents[start : start + TEXTS_AT_ONCE], role)
        return Tokens(rows, truncated)

    def count(self, contents: Sequence[str], role: Role) -> list[int]:
        """Return how many tokens each content has, without the limit."""
        return [len(row) for row in self._whole(self._prompted(contents, role))]

    def digest(self) -> str:
        """Return the SHA-256 of the vocabulary and of what probe texts become.

        Behaviour rather than the tokenizer's file: the same tokenizer, saved by another
        version of the library, keeps its name.
        """
        vocabulary = sorted(self.tokenizer.get_vocab().items())
        # A tokenizer that knows none of the probes' words shows itself by its own.
        words = [word for word, _ in vocabulary if word.isalpha()][:100]
        own = [" ".join(words).swapcase(), "  ".join(f"{word}\u0301" for word in words)]
        facts = {"vocabulary": vocabulary, "probes": self._whole([*_PROBES, *own])}
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    def _truncated(
        self, rows: Sequence[Sequence[int]], contents: Sequence[str], role: Role
    ) -> list[bool]:
        """Count full rows without the limit: a tokenizer in plain Python does not tell."""
        full = [i for i, row in enumerate(rows) if len(row) >= self.max_tokens]
        lengths = self.count([contents[i] for i in full], role)
        cut = {i for i, length in zip(full, lengths, strict=True) if length > self.max_tokens}
        return [i in cut for i in range(len(rows))]

    def _prompted(self, contents: Sequence[str], role: Role) -> list[str]:
        if isinstance(contents, str):
            raise ValueError(f"expected a list of texts, got the text {contents[:40]!r}.")
        return [self.prompted(content, role) for content in contents]

    def _whole(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        # Not verbose: it would warn on the terminal of texts that are longer than the limit.
        with ASKING:
            found = self.tokenizer(texts, return_attention_mask=False, verbose=False)
        rows: list[list[int]] = found["input_ids"]
        return rows

    def _tokenise(self, texts: list[str]) -> Any:
        with ASKING:
            return self.tokenizer(
                texts,
                truncation=True,
                max_length=self.max_tokens,
                return_attention_mask=False,
                return_token_type_ids=False,
            )
