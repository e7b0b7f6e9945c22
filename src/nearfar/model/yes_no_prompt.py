"""The question put to a language model: a template, two words, and what is cut where it is long."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from transformers import PreTrainedTokenizerBase

from nearfar.errors import BadModel, BadSetting, require
from nearfar.model.pair_tokens import Ids, some_text

_PLACE = re.compile(r"(\{query\}|\{document\})")
# As plain as a question can be; a model that was trained on a prompt of its own needs that one.
PLAIN = (
    "Query: {query}\nDocument: {document}\n"
    "Question: Does the document answer the query? Reply with yes or no.\nReply:"
)
# What the Qwen3 rerankers were trained on (Zhang et al. 2025, arXiv:2506.05176, sec. 2, and the
# page of the models), with their words "yes" and "no".
QWEN3 = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
    "answer the query\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the two words that may follow it."""

    template: str  # holds {query} and {document}; its end is where the answer stands
    yes: str  # one token, as it would follow the template
    no: str


QUESTIONS = {"plain": Question(PLAIN, " yes", " no"), "qwen3": Question(QWEN3, "yes", "no")}


def choose_question(
    template: str | None, yes: str | None, no: str | None, *, unless_said: Question
) -> Question:
    """Return the question that someone wants.

    Args:
        template: one of QUESTIONS, or a text that holds {query} and {document}, whose words are
            "yes" and "no", with a space before them where the text ends without one.
        yes: the word that says yes; None: as the template has it.
        no: the word that says no; None: likewise.
        unless_said: taken where no template is named.
    """
    if template is None:
        found = unless_said
    elif template in QUESTIONS:
        found = QUESTIONS[template]
    else:
        gap = "" if template[-1:].isspace() else " "
        found = Question(template, f"{gap}yes", f"{gap}no")
    return Question(
        found.template, found.yes if yes is None else yes, found.no if no is None else no
    )


@dataclass(frozen=True, slots=True)
class YesNoPrompt:
    """Everything that decides which tokens a question about a query and a document has."""

    tokenizer: PreTrainedTokenizerBase
    max_tokens: int  # of the whole prompt
    template: str = PLAIN
    yes: str = " yes"
    no: str = " no"
    word_ids: tuple[int, int] = field(init=False)  # of yes and of no
    start: tuple[int, ...] = field(init=False)  # special tokens that stand before any text

    def __post_init__(self) -> None:
        for place in ("{query}", "{document}"):
            once = self.template.count(place) == 1
            expected = f"a text that holds {place} once, or one of {', '.join(QUESTIONS)}"
            require(once, "template", expected, self.template)
        if not self.tokenizer.is_fast:
            raise BadModel(
                f"{self.tokenizer.name_or_path}: expected a tokenizer that says where in a text "
                "its tokens are, found one in plain Python. Save it as a tokenizer.json."
            )
        ids = (self._word("yes", self.yes), self._word("no", self.no))
        require(ids[0] != ids[1], "yes and no", "two different tokens", (self.yes, self.no))
        object.__setattr__(self, "word_ids", ids)
        object.__setattr__(self, "start", _start(self.tokenizer))
        least = len(self.whole("", "")) + 2
        enough = self.max_tokens >= least
        require(enough, "max_tokens", f"{least} at least, for this template", self.max_tokens)

    def __call__(self, query: str, document: str) -> Ids:
        """Return the tokens of the question, at most `max_tokens` of them.

        Too long a document loses its end; a query loses what the document needs of the half of
        what the template leaves. The template is never cut: it stays a question.
        """
        ids = self.whole(query, document)
        if len(ids) <= self.max_tokens:
            return ids
        empty = len(self.whole("", ""))
        needed = min(len(self.whole("", document)) - empty, (self.max_tokens - empty) // 2)
        query = self._cut(query, lambda text: self.whole(text, ""), self.max_tokens - needed)
        document = self._cut(document, lambda text: self.whole(query, text), self.max_tokens)
        return self.whole(query, document)

    def whole(self, query: str, document: str) -> Ids:
        """Return the tokens of the question, however many."""
        texts = {"{query}": query, "{document}": document}
        asked = "".join(texts.get(part, part) for part in parts_of(self.template))
        # Without what the tokenizer puts after a text: the answer stands there.
        ids = self.tokenizer(asked, add_special_tokens=False, verbose=False)["input_ids"]
        said = tuple(ids[: len(self.start)]) == self.start  # by the template itself
        return np.array([*(() if said else self.start), *ids], dtype=np.int32)

    def _cut(self, text: str, asked: Callable[[str], Ids], most: int) -> str:
        """Return as much of the beginning of a text as keeps a question within `most` tokens."""
        ends = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )["offset_mapping"]
        kept = len(ends)
        # Where text and template meet, tokens may merge or part: then it takes a second turn.
        while kept and (excess := len(asked(text)) - most) > 0:
            kept = max(kept - excess, 0)
            text = text[: ends[kept - 1][1]] if kept else ""
        return text

    def _word(self, key: str, word: str) -> int:
        ids = self.tokenizer(word, add_special_tokens=False)["input_ids"]
        if len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id:
            return int(ids[0])
        raise BadSetting(
            f"{key} must be a word that is one token, got {word!r}, which becomes "
            f"{self.tokenizer.convert_ids_to_tokens(ids)}. Try it with or without a space before "
            "it, or name another word."
        )


def parts_of(template: str) -> list[str]:
    """Return the texts of a template and, between them, its two places."""
    return _PLACE.split(template)


def _start(tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    found = tokenizer(some_text(tokenizer), verbose=False)
    first = found.sequence_ids(0).index(0)
    return tuple(found["input_ids"][:first])
