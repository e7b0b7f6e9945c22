"""Finds documents in the tables of one version by their words: BM25, computed by PostgreSQL."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import LiteralString

from psycopg.sql import Composed

from nearfar.data.words import words_of
from nearfar.stores.contract import Found
from nearfar.stores.filters import Where
from nearfar.stores.postgres_connections import Connection, one_moment
from nearfar.stores.postgres_tables import Tables
from nearfar.stores.postgres_texts import restored, word_number

K1, B = 1.5, 0.75  # as in the index in files

_SCORED: LiteralString = """
    select id, score from {documents} as d, lateral (
        select sum(asked.weight * held.times / (held.times
            + %(k1)s * (1 - %(b)s + %(b)s * d.length / %(length)s))) as score
        from unnest(%(words)s::bigint[], %(weights)s::float8[]) as asked (word, weight),
            lateral (select d.counts[array_position(d.words, asked.word)]::float8) as held (times)
        ) as scored
    where d.words && %(some)s::bigint[]{where}
    order by score desc, id limit %(k)s"""
_KNOWN: LiteralString = """
    select versions.documents, versions.words, known.word, known.documents
    from {versions} as versions, {words} as known
    where number = {version} and known.word = any(%s::bigint[]) and known.documents > 0
    order by known.documents, known.word"""


@dataclass(frozen=True, slots=True)
class _Word:
    """A word of a query."""

    number: int  # that stands for it
    held: int  # by how many documents
    most: float  # that it can add to a score


def worded(
    connection: Connection, tables: Tables, queries: Sequence[str], k: int, where: Where
) -> list[list[Found]]:
    """Return of each query the k documents with the highest BM25, best first.

        score(w, d) = log(1 + (C - n_w + 0.5) / (n_w + 0.5)) * f / (f + k1 (1 - b + b l_d / l))

    n_w of C documents hold w, f times in d; d has l_d words, l in the mean; k1 = 1.5, b = 0.75.

    Raises:
        BadSetting: a condition names no field of the layout, or a value of another kind.

    Source: BM25 as Lucene has it; Kamphuis et al. 2020, doi:10.1007/978-3-030-45442-5_4, table 1.
    """
    narrowed, values = tables.conditions(where, "and")
    statement = tables.sql(_SCORED, where=narrowed)
    found = []
    with one_moment(connection):  # how many hold a word is asked before who does
        for query in queries:
            words, length = _known(connection, tables, query)
            settled = {**values, "k1": K1, "b": B, "k": k, "length": length}
            found.append(_best(connection, statement, words, settled) if words else [])
    return found


def _best(
    connection: Connection,
    statement: Composed,
    words: Sequence[_Word],
    settled: Mapping[str, object],
) -> list[Found]:
    """Return the best documents of one query.

    No word can add more than its first factor. So the documents of the rarest words are scored
    first; if the k-th of them has more than all other words together can give, none that has only
    those can be among the best. Else they are scored once more, with as many words as it takes.

    Source: MaxScore, Turtle and Flood 1995, doi:10.1016/0306-4573(95)00020-H.
    """
    k = settled["k"]
    assert isinstance(k, int)
    asked = {**settled, "words": [w.number for w in words], "weights": [w.most for w in words]}
    others = [sum(one.most for one in words[at:]) for at in range(len(words) + 1)]
    needed = _enough(words, k)
    while True:
        some = [one.number for one in words[:needed]]
        found = connection.execute(statement, {**asked, "some": some}).fetchall()
        least = found[-1][1] if len(found) == k else 0.0
        wanted = next(at for at, most in enumerate(others) if most <= least)
        if wanted <= needed:
            return [Found(restored(id_), score) for id_, score in found]
        needed = wanted


def _known(connection: Connection, tables: Tables, query: str) -> tuple[list[_Word], float]:
    """Return the words of a query that some document holds, the rarest first, and l."""
    times = Counter(map(word_number, words_of(query)))
    rows = connection.execute(tables.sql(_KNOWN), [list(times)]).fetchall()
    words = [
        _Word(word, held, times[word] * math.log1p((documents - held + 0.5) / (held + 0.5)))
        for documents, _, word, held in rows
    ]
    return words, (rows[0][1] / rows[0][0] if rows else 0.0)


def _enough(words: Sequence[_Word], k: int) -> int:
    """Return how many words, the rarest first, are likely to bring k documents."""
    reached = accumulate(one.held for one in words)
    return next((at for at, held in enumerate(reached, start=1) if held >= 4 * k), len(words))
