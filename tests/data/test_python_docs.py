"""Documentation is parsed, never imported, and its queries do not give answers away."""

import subprocess
import sys
from pathlib import Path

import pytest

from nearfar.data.docstrings import divide, divide_topic, summary_key, why_not
from nearfar.data.modules import find_modules
from nearfar.data.python_docs import MAX_ANSWERS, PythonDocsReader
from nearfar.errors import BadSetting
from nearfar.records import Document, Judgment, Query

PATHS = {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
BODY = "It says a good deal more than the summary does, and goes on for long enough to be kept."


def package(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def function(name: str, summary: str, body: str = BODY) -> str:
    return f'def {name}():\n    """{summary}\n\n    {body}\n    """\n'


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of packages, as an installed one is."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def read(*packages: str) -> tuple[list[Document], list[Query], list[Judgment], PythonDocsReader]:
    reader = PythonDocsReader(packages=packages)
    records = list(reader.records())
    return (
        [r for r in records if isinstance(r, Document)],
        [r for r in records if isinstance(r, Query)],
        [r for r in records if isinstance(r, Judgment)],
        reader,
    )


def test_a_docstring_becomes_a_query_and_a_document(installed: Path) -> None:
    package(
        installed,
        {"zoo/__init__.py": "", "zoo/cats.py": "\n\n" + function("purr", "Make a sound.")},
    )
    documents, queries, judged, _ = read("zoo")
    assert [q.content for q in queries] == ["Make a sound."]
    assert [d.content for d in documents] == [BODY]
    assert documents[0].group == queries[0].group == "zoo.cats"
    assert documents[0].source == "zoo/cats.py:3"
    assert judged[0].origin.kind == "title"
    assert dict(documents[0].fields) == {
        "package": "zoo",
        "kind": "function",
        "length": "short",
        "name": "zoo.cats.purr",
    }


def test_source_is_parsed_and_never_run(installed: Path) -> None:
    package(installed, {"bomb.py": function("tick", "Count the seconds.") + "raise SystemExit\n"})
    documents, *_ = read("bomb")
    assert len(documents) == 1
    assert "bomb" not in sys.modules


def test_private_names_and_tests_are_left_out(installed: Path) -> None:
    package(
        installed,
        {
            "zoo/__init__.py": function("_hidden", "This is not public."),
            "zoo/_inner/a.py": function("a", "This folder is private."),
            "zoo/__main__.py": function("main", "This is a program."),
            "zoo/_written_here.py": function("shown", "This is shown elsewhere."),
            "zoo/tests/test_a.py": function("b", "This is a test."),
            "zoo/test_b.py": function("c", "This is a test too."),
            "zoo/open.py": "class Cage:\n"
            + "".join(f"    {line}\n" for line in function("feed", "Give it food.").splitlines()),
        },
    )
    _, queries, *_ = read("zoo")
    asked = {q.content: q.fields["kind"] for q in queries}
    assert asked == {"Give it food.": "method", "This is shown elsewhere.": "function"}


def test_a_summary_of_many_documents_asks_for_none(installed: Path) -> None:
    few = [function(f"f{i}", "Return the name.", f"{BODY} {i}") for i in range(MAX_ANSWERS)]
    more = [function(f"g{i}", "Return the size.", f"{BODY} x{i}") for i in range(MAX_ANSWERS + 1)]
    package(installed, {"zoo.py": "".join(few + more)})
    documents, queries, judged, reader = read("zoo")
    assert [q.content for q in queries] == ["Return the name."]
    assert len(judged) == MAX_ANSWERS
    assert len(documents) == 2 * MAX_ANSWERS + 1
    assert reader.notes.left_out[f"queries with more than {MAX_ANSWERS} answers"] == 1


def test_the_same_body_twice_is_one_document(installed: Path) -> None:
    package(
        installed,
        {"a1.py": function("f", "Ask this way."), "a2.py": function("f", "Ask the other way.")},
    )
    documents, queries, judged, reader = read("a1", "a2")
    assert len(documents) == 1
    assert len(queries) == len(judged) == 2
    assert {q.group for q in queries} == {"a1"}  # where the document lies, so none leaks
    assert reader.notes.left_out["bodies that occur again"] == 1


def test_a_file_that_does_not_parse_is_counted(installed: Path) -> None:
    package(
        installed,
        {
            "zoo/__init__.py": function("f", "Do one thing."),
            "zoo/bad.py": "def (:\n",
            "zoo/nul.py": "x = 1\0",
            "zoo/escape.py": '"""\\d is no escape."""\n',
        },
    )
    *_, reader = read("zoo")
    assert reader.notes.left_out["files that do not parse"] == 2


def test_a_package_that_is_not_here_is_answered_with_the_nearest() -> None:
    with pytest.raises(BadSetting, match=r"'nunpy' is not installed.*'numpy'"):
        list(find_modules(["nunpy"]))


def test_records_come_in_the_same_order_each_time() -> None:
    assert list(PythonDocsReader(packages=("jinja2", "click")).records()) == list(
        PythonDocsReader(packages=("click", "jinja2")).records()
    )


def test_the_standard_library_gives_about_two_thousand_pairs() -> None:
    documents, queries, judged, reader = read("python")
    assert 1_500 < len(queries) < 4_000
    texts = {d.id: d.content for d in documents}
    asked = {q.id: q.content for q in queries}
    assert len(texts) == len(documents)
    for j in judged:
        plain = " ".join(texts[j.document_id].casefold().split())
        assert summary_key(asked[j.query_id]) not in plain
    assert {d.fields["kind"] for d in documents} == {
        "module",
        "class",
        "function",
        "method",
        "topic",
    }
    assert not any(d.source.startswith(("test/", "idlelib/idle_test")) for d in documents)
    assert reader.notes.left_out


def test_reading_the_docs_imports_none_of_them() -> None:
    code = (
        "import sys; from nearfar.data.python_docs import PythonDocsReader as R;"
        "list(R(packages=('scipy',)).records()); sys.exit('scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env=PATHS).returncode == 0


@pytest.mark.parametrize(
    ("docstring", "summary", "body"),
    [
        ("One line.", "One line.", ""),
        ("First line.\n\nBody here.", "First line.", "Body here."),
        (
            "It starts here. It\ngoes on there.\n\nMore.",
            "It starts here.",
            "It goes on there.\nMore.",
        ),
        ("No end of\nsentence here\n\nMore.", "No end of sentence here", "More."),
        ("split(a, n) -> list\n\nCut it up.\n\nMore.", "Cut it up.", "More."),
        ("Take e.g. this\none. Then that.", "Take e.g. this one.", "Then that."),
        ("S.\n\nSee:\n    >>> 1 + 1\n    2\n", "S.", "See:\n    >>> 1 + 1\n    2"),
        ("S.\n\nArgs\n----\nx : int\n    A number.", "S.", "Args\nx : int\n    A number."),
        ("", "", ""),
        ("   \n  ", "", ""),
    ],
)
def test_a_docstring_is_divided(docstring: str, summary: str, body: str) -> None:
    parts = divide(docstring)
    assert (parts.summary, parts.body) == (summary, body)


def test_a_topic_is_divided_below_its_title() -> None:
    parts = divide_topic('The "assert" statement\n**********************\n\nIt is a way.\n')
    assert (parts.summary, parts.body) == ("The assert statement", "It is a way.")


def test_a_body_that_repeats_its_summary_is_no_answer() -> None:
    parts = divide(f"Sort the list.\n\nThis will sort the\nLIST. {BODY}")
    assert why_not(parts) == "bodies that repeat their summary"
    assert not why_not(divide(f"Sort the list.\n\n{BODY}"))
