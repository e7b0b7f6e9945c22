"""Reads support tickets and chat logs: the question, and the article that solved it.

ticket_id, question, article, solved              a ticket; article_id beside, if there is one
ticket_id, messages = [{role, content}, ...]      a chat; the answer is the article, if there
                                                  is one, else the longest turn of an agent
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from nearfar.data.columns import Columns
from nearfar.data.lines import json_in
from nearfar.data.notes import Bundle, Record
from nearfar.data.rejects import BadRow
from nearfar.data.rows import Row
from nearfar.data.table import TableReader, plain, some, text_of
from nearfar.fingerprint import content_id
from nearfar.records import Document, Query

_ASKERS = {"user", "customer", "client", "requester", "human", "visitor", "end-user"}
_AGENTS = {"assistant", "agent", "support", "bot", "staff", "operator", "admin"}
_NEITHER = {"system", "tool", "note"}
_SOLVED = {"true", "1", "1.0", "yes", "solved", "resolved", "closed", "done"}
_UNSOLVED = {"false", "0", "0.0", "no", "open", "unsolved", "unresolved", "pending", "new", ""}


@dataclass
class TicketsReader(TableReader):
    """Yields what was asked and what solved it.

    The ticket is the group of its question. An article that is named or told in one text for
    many tickets is its own group; an agent's turn belongs to its ticket.
    """

    usual: ClassVar = {
        "query": (
            "messages turns conversation chat question subject issue problem title query "
            "description text"
        ),
        "document": "article article_text resolution solution answer response kb_article",
        "document_id": "article_id kb_id document_id doc_id",
        "group": "ticket_id ticket case_id conversation_id chat_id group id",
        "label": "solved resolved is_solved is_resolved status",
        "grade": "",
    }
    needed: ClassVar = ("query",)

    def bundles(self) -> Iterator[Bundle]:
        """Yield the pair of each ticket; raises what `TableReader.bundles` raises."""
        columns, divided = self._columns(), self._divided()
        if not columns.label:
            self.notes.say("No column says whether a ticket was solved: all count as solved.")
        return self._each(lambda row: self._row(row, columns, divided))

    def _row(self, row: Row, columns: Columns, divided: bool) -> list[Record] | str:
        split = self._split(row, columns, divided)
        ticket = plain(row, columns.group)
        turns = _turns(row, columns.query)
        question = text_of(row, columns.query) if turns is None else _question(row, turns)
        if columns.label and not _solved(row, columns.label):
            return "tickets that were not solved"
        told = bool(columns.document) and some(row.values.get(columns.document or ""))
        answer = text_of(row, columns.document) if told else _longest(turns or [])
        if not answer:
            return "solved tickets without an article or an agent's turn"
        if not told:
            self.notes.say("Where no article is named, the longest turn of an agent answers.")
        fields = self._fields(row, columns)
        named = plain(row, columns.document_id) if told else ""
        query_id, document_id = content_id(question), named or content_id(answer)
        source: dict[str, Any] = {"source": row.where}
        return [
            Query(id=query_id, content=question, group=ticket, fields=fields, **source),
            Document(id=document_id, content=answer, group="" if told else ticket, **source),
            self._judgment(row, query_id, document_id, 1.0, split, {"ticket": ticket}),
        ]


def _turns(row: Row, column: str | None) -> list[tuple[str, str]] | None:
    """Return role and text of each turn, or None if the value is no list of turns."""
    value = row.values.get(column or "")
    if isinstance(value, str) and value.lstrip().startswith("[{"):  # a CSV cell of JSON
        try:
            value = json_in(value)
        except UnicodeEncodeError as error:
            raise BadRow(
                "not Unicode",
                f"{row.where}: a turn in {column!r} holds half of a surrogate pair, which is not "
                "Unicode. Write the character whole, or remove it.",
            ) from error
        except ValueError:
            return None  # a question that begins so
    if not isinstance(value, list):
        return None
    return [_turn(row, column, one) for one in value]


def _turn(row: Row, column: str | None, value: object) -> tuple[str, str]:
    turn = value if isinstance(value, Mapping) else {}
    role = next((turn[name] for name in ("role", "from", "author", "speaker") if name in turn), "")
    text = next((turn[name] for name in ("content", "text", "message", "value") if name in turn), 0)
    role = str(role).strip().casefold()
    if not isinstance(text, str) or role not in _ASKERS | _AGENTS | _NEITHER:
        raise BadRow(
            "bad turn",
            f"{row.where}: expected turns with a role ({', '.join(sorted(_ASKERS | _AGENTS))}) and "
            f"a text as 'content' in {column!r}, found {value!r:.80}. Correct or remove the turn.",
        )
    if "\0" in text:
        raise BadRow(
            "NUL byte",
            f"{row.where}: a turn in {column!r} holds a NUL character, which is no text. Remove "
            "the character or the turn.",
        )
    return role, text.strip()


def _question(row: Row, turns: list[tuple[str, str]]) -> str:
    """Return what was asked before anyone answered."""
    said: list[str] = []
    for role, text in turns:
        if role in _AGENTS and said:
            break
        if role in _ASKERS and text:
            said.append(text)
    return text_of(Row(row.where, {"question": "\n".join(said)}), "question")


def _longest(turns: list[tuple[str, str]]) -> str:
    """Return the longest turn of an agent: the last one is mostly a farewell."""
    return max((text for role, text in turns if role in _AGENTS), key=len, default="")


def _solved(row: Row, column: str) -> bool:
    value = plain(row, column).strip().casefold()
    if value not in _SOLVED | _UNSOLVED:
        raise BadRow(
            "unknown status",
            f"{row.where}: expected solved or not in {column!r} (such as "
            f"{', '.join(sorted(_SOLVED - {'1.0'}))}; open, false), found {value!r:.60}. "
            "Correct the row, or name another column as label.",
        )
    return value in _SOLVED
