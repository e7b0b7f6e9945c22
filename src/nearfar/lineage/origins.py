"""Where the judgments of a dataset come from: counted by kind, by whom, and source file."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nearfar.data.dataset import Dataset

_COLUMNS = ("grade", "origin_kind", "origin_source", "origin_by", "origin_facts")
_MOST_NAMED = 20  # files, and prompts, of one origin; the rest is counted
_MOST_KEPT = 10_000  # different ones in memory: a trace or a query id a row is not a file


@dataclass(slots=True)
class Tally:
    """The judgments of one kind by one annotator, miner or language model."""

    kind: str
    by: str
    answers: int = 0  # judged above 0
    no_answers: int = 0  # judged 0
    files: Counter[str] = field(default_factory=Counter)  # judgments of each source file
    prompts: Counter[str] = field(default_factory=Counter)  # judgments of each prompt's hash
    elsewhere: int = 0  # judgments whose source is no line of a file

    def to_json(self) -> dict[str, Any]:
        """Return the counts, with the files and prompts that have most judgments."""
        named = {"files": self.files, "prompts": self.prompts}
        return {
            "kind": self.kind,
            "by": self.by,
            "answers": self.answers,
            "no_answers": self.no_answers,
            "sources": len(self.files),
            "elsewhere": self.elsewhere,
            **{name: dict(found.most_common(_MOST_NAMED)) for name, found in named.items()},
        }


def tally(dataset: Dataset) -> list[Tally]:
    """Count the judgments of a dataset by origin, the largest first.

    Memory: a counter for each kind and annotator, not for each row.
    """
    found: dict[tuple[str, str], Tally] = {}
    for batch in dataset.batches("judgments", _COLUMNS):
        columns = (batch[name].to_pylist() for name in _COLUMNS)
        for grade, kind, source, by, facts in zip(*columns, strict=True):
            if (kind, by) not in found and len(found) == _MOST_KEPT:
                by = "others"
            own = found.setdefault((kind, by), Tally(kind, by))
            own.answers += grade is not None and grade > 0
            own.no_answers += grade == 0
            file = file_of(source)
            if file and (file in own.files or len(own.files) < _MOST_KEPT):
                own.files[file] += 1
            else:
                own.elsewhere += 1
            for prompt in prompts_in(json.loads(facts)) if facts else ():
                if prompt in own.prompts or len(own.prompts) < _MOST_KEPT:
                    own.prompts[prompt] += 1
    return sorted(found.values(), key=lambda t: (-t.answers - t.no_answers, t.kind, t.by))


def file_of(source: str) -> str:
    """Return the file of a source that names a line or a row of one; otherwise nothing.

    >>> file_of("pairs.jsonl:12"), file_of("a.parquet:row 3"), file_of("q7 rank 2")
    ('pairs.jsonl', 'a.parquet', '')
    """
    file, colon, line = source.rpartition(":")
    return file if colon and line.removeprefix("row ").isdigit() else ""


def prompts_in(facts: Mapping[str, Any]) -> list[str]:
    """Return the hashes of prompts among facts, however deep: their keys say "prompt"."""
    found: list[str] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            found += prompts_in(value)
        elif "prompt" in key and isinstance(value, str) and _is_hash(value):
            found.append(value)
    return list(dict.fromkeys(found))


def _is_hash(text: str) -> bool:
    return len(text) >= 8 and all(letter in "0123456789abcdef" for letter in text)
