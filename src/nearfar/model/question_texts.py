"""What a token store keeps for a yes/no reranker: texts whole, since only a question has tokens.

Where a text meets the template of a question, tokens may merge, so the tokens of a text alone
are not those that the model will see. A row of the store is therefore the text itself: its bytes
in UTF-8, four to a number, which is about one number a token.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nearfar.fingerprint import canonical_json
from nearfar.model.pair_tokens import Ids
from nearfar.model.tokens import TEXTS_AT_ONCE, TextToTokens, Tokens
from nearfar.model.yes_no_prompt import YesNoPrompt
from nearfar.records import Role

_FILL = b"\xff"  # no text in UTF-8 holds this byte


@dataclass(frozen=True, slots=True)
class QuestionTexts(TextToTokens):
    """Texts as rows of a store, and two rows as the tokens of their question."""

    prompt: YesNoPrompt

    @classmethod
    def of(cls, prompt: YesNoPrompt) -> "QuestionTexts":
        """Return the texts of one question."""
        return cls(prompt.tokenizer, "", "", prompt.max_tokens, prompt)

    def __call__(self, contents: Sequence[str], role: Role) -> Tokens:
        """Return each content as a row of bytes, and whether any question must cut it.

        Raises:
            ValueError: one text came instead of a list of texts.
        """
        texts = self._prompted(contents, role)
        room = self.max_tokens - len(self.prompt.whole("", ""))
        truncated: list[bool] = []
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            whole = self._whole(texts[start : start + TEXTS_AT_ONCE])
            truncated += [len(row) > room for row in whole]
        return Tokens([_row(text).tolist() for text in texts], truncated)

    def question(self, query: Ids, document: Ids) -> Ids:
        """Return the tokens of the question about two rows: those that scoring sees."""
        return self.prompt(_text(query), _text(document))

    def digest(self) -> str:
        """Return the SHA-256 of all that decides the rows and which of them are cut."""
        facts = {
            "rows": "UTF-8, four bytes to a number",
            "texts": TextToTokens.digest(self),  # super() fails in a dataclass with slots
            "template": self.prompt.template,
        }
        return hashlib.sha256(canonical_json(facts).encode()).hexdigest()

    def _whole(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        found = self.tokenizer(
            texts, add_special_tokens=False, return_attention_mask=False,
            return_token_type_ids=False, verbose=False,
        )  # fmt: skip
        rows: list[list[int]] = found["input_ids"]
        return rows


def _row(text: str) -> Ids:
    found = text.encode()
    return np.frombuffer(found + _FILL * (-len(found) % 4), dtype="<i4")


def _text(row: Ids) -> str:
    return row.astype("<i4", copy=False).tobytes().rstrip(_FILL).decode()
