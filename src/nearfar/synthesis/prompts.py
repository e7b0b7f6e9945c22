"""What the language model is told, and how strictly its answer is read."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from nearfar.fingerprint import content_id
from nearfar.llm.messages import Message

STYLES = {
    "question": "Each is one complete question, as a person would type it.",
    "keyword": "Each is a keyword search of two to five words, without a verb form or punctuation.",
    "long": "Each is two or three sentences: the situation of the person asking, then the need.",
    "typo": "Each is a short question with one or two slips of the keyboard, as in a hurry.",
    "language": "Each is one complete question in {language}, whatever the passage is written in.",
}

_TASK = """\
You write search queries for the passages of a document collection. For the passage you are given,
write {count} different queries of people who do not know the passage, but whose need it answers.

- The passage alone must answer each query fully.
- {style}
- A query names its subject: without the passage it must be clear what is asked about. No "this",
  "the text" or "the passage".
- Use other words than the passage where people would. Do not copy phrases from it.
- Ask about different parts of the passage where it has several.

Answer with a JSON array of {count} strings and nothing else."""

_EXAMPLES = """

These are real queries of the people who search here. Take their tone, their knowledge and what
they care about from them; the rules above come first:
{queries}"""

_FENCE = re.compile(r"\A```(?:json)?\n(.*)\n```\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is the same for all passages of one style."""

    style: str
    text: str
    count: int

    @property
    def hash(self) -> str:
        """The name of the text: it stands in every origin, and beside the text in the manifest."""
        return content_id(self.text)

    def messages(self, passage: str) -> tuple[Message, ...]:
        """Return what is sent for one passage."""
        return Message("system", self.text), Message("user", f"<passage>\n{passage}\n</passage>")


def prompt(style: str, count: int, *, language: str, examples: Sequence[str]) -> Prompt:
    """Return the prompt of a style.

    Args:
        style: one of STYLES.
        count: how many queries an answer must hold.
        language: what the style "language" is written in.
        examples: queries of the team; none are fine.
    """
    rule = STYLES[style].format(language=language)
    text = _TASK.format(count=count, style=rule)
    if examples:
        listed = "\n".join(json.dumps(query, ensure_ascii=False) for query in examples)
        text += _EXAMPLES.format(queries=listed)
    return Prompt(style, text, count)


def parse(text: str, count: int) -> list[str] | None:
    """Return the queries of an answer, or None if it is not a JSON array of `count` strings.

    Nothing is repaired. Only a code fence around the whole answer, which many models cannot help,
    is taken off.

    >>> parse('["a b", "c"]', 2)
    ['a b', 'c']
    >>> parse('Here you are: ["a b", "c"]', 2) is None
    True
    """
    fenced = _FENCE.match(text.strip())
    try:
        found = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, list) or len(found) != count:
        return None
    if not all(isinstance(query, str) and query.strip() and _sayable(query) for query in found):
        return None
    return [" ".join(query.split()) for query in found]


def _sayable(text: str) -> bool:
    """Tell whether a text is Unicode; JSON can escape halves of characters that are none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
