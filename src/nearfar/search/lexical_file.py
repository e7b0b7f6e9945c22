"""Words on disk: BM25 scores in the layout of bm25s, written as they come and mapped.

Shapes: C documents, V words, P pairs of a word and a document that holds it.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfar.data.words import VERSION, words_of
from nearfar.errors import BadFile, BadRecord
from nearfar.progress import Progress, silent
from nearfar.stores.words_index import K1, B

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

_RULE = "words.json"  # beside what bm25s writes: how texts became words
_DOCUMENTS_PER_CHUNK = 2_048
_AGAIN = "Build the index again with `nearfar index --lexical`."


@dataclass(frozen=True, slots=True)
class _Counted:
    words: dict[str, int]  # and their number, in the order of their first appearance
    documents: Ints  # (V,) how many hold the word
    lengths: Ints  # (C,) words of each document


def write_lexical(
    folder: Path, texts: Callable[[], Iterable[str]], *, progress: Progress = silent
) -> None:
    """Write how much each word says for each document that holds it.

        score(w, d) = log(1 + (C - n_w + 0.5) / (n_w + 0.5)) * f / (f + k1 (1 - b + b l_d / l))

    n_w documents hold w, f times in d; d has l_d words, l in the mean; k1 = 1.5, b = 0.75.

    The library builds its index from all texts in memory. Here they are read twice: only the
    vocabulary and a number a document stand in memory, the scores go to their places on disk.

    Args:
        folder: made here.
        texts: called twice; the same texts in the same order each time, row by row.
        progress: told after every chunk of documents.

    Raises:
        BadRecord: no document holds a word.

    Source: BM25 as Lucene has it; Kamphuis et al. 2020, doi:10.1007/978-3-030-45442-5_4,
        table 1. The layout: the library bm25s, `BM25.save`.
    """
    counted = _count(texts())
    if not counted.words:
        raise BadRecord(
            f"Expected words in some of {len(counted.lengths):,} documents, found none. "
            "Leave out --lexical: there is nothing that it could find."
        )
    folder.mkdir(parents=True)
    ends = np.concatenate([[0], np.cumsum(counted.documents)])  # (V + 1,)
    np.save(folder / "indptr.csc.index.npy", ends)
    places = _table(folder / "indices.csc.index.npy", np.int32, int(ends[-1]))
    scores = _table(folder / "data.csc.index.npy", np.float32, int(ends[-1]))
    heads = ends[:-1].copy()  # where the next document of each word goes
    done = 0
    for chunk in _chunks(texts()):
        words, rows, counts = _pairs([[counted.words[w] for w in found] for found in chunk])
        slots = _slots(words, heads)
        places[slots] = rows + done
        scores[slots] = _bm25(counted, words, rows + done, counts)
        done += len(chunk)
        progress("index words", done, len(counted.lengths))
    for table in (places, scores):
        table.flush()
    _write_facts(folder, counted)


def _chunks(texts: Iterable[str]) -> Iterator[list[list[str]]]:
    found = (words_of(text) for text in texts)
    while chunk := list(islice(found, _DOCUMENTS_PER_CHUNK)):
        yield chunk


def _count(texts: Iterable[str]) -> _Counted:
    words: dict[str, int] = {}
    documents, lengths = array("q"), array("q")
    for found in chain.from_iterable(_chunks(texts)):
        lengths.append(len(found))
        for word in dict.fromkeys(found):  # not a set, whose order differs from run to run
            number = words.setdefault(word, len(words))
            if number == len(documents):
                documents.append(0)
            documents[number] += 1
    return _Counted(words, np.array(documents, np.int64), np.array(lengths, np.int64))


def _table(path: Path, kind: type, size: int) -> np.memmap[Any, Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(size,))


def _pairs(chunk: Sequence[Sequence[int]]) -> tuple[Ints, Ints, Ints]:
    """Return words, rows within the chunk, and how often: by word, then by row."""
    lengths = [len(found) for found in chunk]
    words = np.fromiter(chain.from_iterable(chunk), np.int64, sum(lengths))
    rows = np.repeat(np.arange(len(chunk)), lengths)
    keys, counts = np.unique(words * len(chunk) + rows, return_counts=True)
    return keys // len(chunk), keys % len(chunk), counts


def _slots(words: Ints, heads: Ints) -> Ints:
    """Return the place of each pair among those of its word, and move the heads on."""
    own, firsts, sizes = np.unique(words, return_index=True, return_counts=True)
    slots: Ints = heads[words] + np.arange(len(words)) - np.repeat(firsts, sizes)
    heads[own] += sizes
    return slots


def _bm25(counted: _Counted, words: Ints, rows: Ints, counts: Ints) -> npt.NDArray[np.float64]:
    held = counted.documents[words]
    rarity = np.log1p((len(counted.lengths) - held + 0.5) / (held + 0.5))
    length = counted.lengths[rows] / counted.lengths.mean()
    found: npt.NDArray[np.float64] = rarity * counts / (counts + K1 * (1 - B + B * length))
    return found


def _write_facts(folder: Path, counted: _Counted) -> None:
    import bm25s

    text = json.dumps(counted.words, ensure_ascii=False)
    (folder / "vocab.index.json").write_text(text, encoding="utf-8")
    facts = {"k1": K1, "b": B, "delta": 0.5, "method": "lucene", "idf_method": "lucene",
             "dtype": "float32", "int_dtype": "int32", "num_docs": len(counted.lengths),
             "version": bm25s.__version__, "backend": "numpy"}  # fmt: skip
    (folder / "params.index.json").write_text(json.dumps(facts, indent=4), encoding="utf-8")
    # In a file of its own: bm25s refuses parameters that it does not know.
    (folder / _RULE).write_text(json.dumps({"version": VERSION}), encoding="utf-8")


def _require_same_words(folder: Path) -> None:
    """Raise BadFile where texts became words by another rule than queries will."""
    path = folder / _RULE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["version"] if path.exists() else 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(
            f"{folder}: expected a BM25 index, and it cannot be read ({error}). {_AGAIN}"
        ) from error
    if found != VERSION:
        raise BadFile(
            f"{folder}: expected words by version {VERSION} of the rule that divides texts "
            f"into words, found version {found}: a query would be divided otherwise than the "
            f"documents were. {_AGAIN}"
        )


class LexicalIndex:
    """How much the words of a query say for each document; its scores stay on disk."""

    def __init__(self, folder: Path, count: int) -> None:
        """Open what `write_lexical` wrote; the vocabulary is read, the scores are mapped.

        Args:
            folder: where it stands.
            count: of the documents that it must be of.

        Raises:
            BadFile: it is missing, damaged, of other documents, or its texts became words by
                another rule.
        """
        import bm25s

        if not folder.is_dir():
            raise BadFile(
                f"{folder.parent}: expected a BM25 index beside the vectors, found none. {_AGAIN}"
            )
        _require_same_words(folder)
        try:
            self._bm25: Any = bm25s.BM25.load(folder, mmap=True)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadFile(
                f"{folder}: expected a BM25 index, and it cannot be read ({error}). {_AGAIN}"
            ) from error
        held, known = self._bm25.scores, self._bm25.vocab_dict
        for what, expected, found in (
            ("documents", count, held["num_docs"]),
            ("words", len(known), len(held["indptr"]) - 1),
            ("scores", int(held["indptr"][-1]), len(held["data"])),
            ("places", int(held["indptr"][-1]), len(held["indices"])),
        ):
            if expected != found:
                raise BadFile(
                    f"{folder}: expected {expected:,} {what}, found {found:,}. It does not "
                    f"belong to these documents. {_AGAIN}"
                )

    def scores(self, query: str) -> Floats:
        """Return the BM25 score of every document; 0 where it shares no word with the query.

        A word that stands twice in the query counts twice.
        """
        known = self._bm25.get_tokens_ids(words_of(query))
        found: Floats = self._bm25.get_scores_from_ids(known)
        return found


def best_rows(scores: Floats, k: int, among: Ints | None = None) -> list[int]:
    """Return the rows of the k highest scores above 0, best first; equals in their order.

    Args:
        scores: (C,) one a document.
        k: at most so many.
        among: the only rows to look at, ascending.
    """
    rows = np.flatnonzero(scores > 0)
    if among is not None:
        rows = np.intersect1d(rows, among, assume_unique=True)
    found = scores[rows]
    if len(rows) > k:  # only what can be among the best is sorted
        keep = found >= np.partition(found, -k)[-k]
        rows, found = rows[keep], found[keep]
    ordered: list[int] = rows[np.argsort(-found, kind="stable")[:k]].tolist()
    return ordered
