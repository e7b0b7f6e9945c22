"""Reads the documentation of the Python installed here: parsed, never imported.

What a docstring is about, its summary, is the query; what it says is the document.
"""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from nearfar.data.docstrings import Parts, divide, divide_topic, summary_key, why_not
from nearfar.data.modules import PYTHON, Module, find_modules
from nearfar.data.notes import Notes, Record
from nearfar.errors import BadFile
from nearfar.fingerprint import content_id
from nearfar.records import Document, Judgment, Origin, Query, Scalar

MAX_ANSWERS = 3  # a summary of more documents than this ("Return the name.") asks for none
_TOPICS = "pydoc_data.topics"

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class _Found(NamedTuple):
    name: str  # json.JSONDecoder.decode
    kind: str
    line: int
    parts: Parts


@dataclass(slots=True)
class _Question:
    """A summary, and the documents it is the summary of."""

    query: Query
    answers: dict[str, str]  # document id: source


@dataclass
class PythonDocsReader:
    """Yields summaries as queries and bodies as documents, always in the same order."""

    notes: Notes = field(default_factory=Notes)
    packages: tuple[str, ...] | None = None  # None: the standard library alone

    def records(self) -> Iterator[Record]:
        """Yield each different body as it is read, then the queries and their judgments.

        Raises:
            BadFile: nothing was found.
            BadSetting: a package is not installed here.
        """
        questions: dict[str, _Question] = {}
        groups: dict[str, str] = {}  # of each document that was yielded, by id
        for module in find_modules(self.packages or (PYTHON,)):
            for found in self._read(module):
                document = _document(module, found)
                if document.id in groups:
                    self.notes.left_out["bodies that occur again"] += 1
                    document = replace(document, group=groups[document.id])
                else:
                    groups[document.id] = document.group
                    yield document
                _ask(questions, document, found.parts.summary)
        if not groups:
            raise BadFile(
                "python-docs: no docstrings found. Is the source of the library installed?"
            )
        yield from self._questions(questions)

    def _questions(self, questions: dict[str, _Question]) -> Iterator[Record]:
        for question in questions.values():
            if len(question.answers) > MAX_ANSWERS:
                self.notes.left_out[f"queries with more than {MAX_ANSWERS} answers"] += 1
                continue
            yield question.query
            for document_id, source in question.answers.items():
                yield Judgment(
                    query_id=question.query.id,
                    document_id=document_id,
                    grade=1.0,
                    origin=Origin(kind="title", source=source),
                )

    def _read(self, module: Module) -> Iterator[_Found]:
        tree = _parsed(module)
        if tree is None:
            self.notes.left_out["files that do not parse"] += 1
            return
        found = _topics(tree) if module.name == _TOPICS else _docstrings(tree, module.name)
        for one in found:
            reason = why_not(one.parts)
            if reason:
                self.notes.left_out[reason] += 1
            else:
                yield one


def _parsed(module: Module) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in other people's strings
            return ast.parse(module.path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _docstrings(tree: ast.Module, module: str) -> Iterator[_Found]:
    text = ast.get_docstring(tree, clean=False)
    if text:
        yield _Found(module, "module", 1, divide(text))
    yield from _definitions(tree.body, module, "function")


def _definitions(body: list[ast.stmt], prefix: str, kind: str) -> Iterator[_Found]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):  # what is defined only on some systems
            yield from _definitions(_branches(node), prefix, kind)
        if not isinstance(node, _Definition) or node.name.startswith("_"):
            continue
        name = f"{prefix}.{node.name}"
        is_class = isinstance(node, ast.ClassDef)
        text = ast.get_docstring(node, clean=False)
        if text:
            yield _Found(name, "class" if is_class else kind, node.lineno, divide(text))
        if is_class:
            yield from _definitions(node.body, name, "method")


def _branches(node: ast.If | ast.Try) -> list[ast.stmt]:
    handled = [] if isinstance(node, ast.If) else [s for h in node.handlers for s in h.body]
    return [*node.body, *handled, *node.orelse]


def _topics(tree: ast.Module) -> Iterator[_Found]:
    """Yield the topics of `help()`, which are written as one dict of titled texts."""
    for table in (node.value for node in tree.body if isinstance(node, ast.Assign)):
        if not isinstance(table, ast.Dict):
            continue
        for key, value in zip(table.keys, table.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(value, ast.Constant):
                parts = divide_topic(str(value.value))
                yield _Found(str(key.value), "topic", value.lineno, parts)


def _document(module: Module, found: _Found) -> Document:
    fields: dict[str, Scalar] = {
        "package": module.name.partition(".")[0],
        "kind": found.kind,
        "length": found.parts.length,
        "name": found.name,
    }
    return Document(
        id=content_id(found.parts.body),
        content=found.parts.body,
        group=found.name if found.kind == "topic" else module.name,
        source=f"{module.source}:{found.line}",
        fields=fields,
    )


def _ask(questions: dict[str, _Question], document: Document, summary: str) -> None:
    key = summary_key(summary)
    if key not in questions:
        query = Query(
            id=content_id(summary),
            content=summary,
            group=document.group,
            source=document.source,
            fields=document.fields,
        )
        questions[key] = _Question(query, {})
    questions[key].answers.setdefault(document.id, document.source)
