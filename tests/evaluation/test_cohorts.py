"""Cohorts: from fields, expressions and words; crossed, pooled, and refused with the nearest."""

from pathlib import Path

import numpy as np
import pytest

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadSetting
from nearfar.evaluation.cohorts import cohorts_in, cohorts_of, crossed
from nearfar.evaluation.derived import denies, rare_bound, trained_texts
from nearfar.evaluation.embedded import Task, read_task
from nearfar.evaluation.wanted import read_wanted
from nearfar.fingerprint import content_id
from nearfar.records import Document, Judgment, Origin, Query

COUNT = 120


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Query i has answer i; every third is German, every second answer an faq."""
    folder = tmp_path_factory.mktemp("cohorts") / "d"
    origin = Origin(kind="human", source="x")
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(COUNT):
            language = "de" if i % 3 == 0 else "xx" if i < 5 else "en"
            text = "word " * (i % 20) + (f"word{i}" if i % 2 else "word")
            fields = {"language": language, "twin": language, "unique": i}
            if i % 4:
                fields["product line"] = "new" if i % 4 == 1 else "old"
            writer.add(Query(id=f"q{i}", content=text, source="x", fields=fields))
            day = f"{2022 + i % 3}-0{i % 9 + 1}-{i % 27 + 1:02}"
            fields = {"kind": "page" if i % 2 else "faq", "updated_at": day, "open": i < 60}
            writer.add(Document(id=f"d{i}", content=f"text {i}", source="x", fields=fields))
            writer.add(Document(id=f"e{i}", content=f"text {i % 40}, worse", source="x",
                                fields={"kind": "worse"}))  # fmt: skip
            for document, grade in ((f"d{i}", 2), (f"e{i}", 1)):
                writer.add(Judgment(query_id=f"q{i}", document_id=document, grade=grade,
                                    split="test", origin=origin))  # fmt: skip
            if i < 50:
                writer.add(Query(id=f"t{i}", content=f"train {i}", source="x"))
                writer.add(Judgment(query_id=f"t{i}", document_id=f"d{i}", grade=1,
                                    split="train", origin=origin))  # fmt: skip
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def task(dataset: Dataset) -> Task:
    return read_task(dataset, "test")


def test_fields_that_divide_are_cohorts_by_themselves(dataset: Dataset, task: Task) -> None:
    found = cohorts_of(dataset, task)
    # "twin" divides as "language" does, "unique" has too many values, dates are taken by year.
    assert list(found) == [
        "query.language", "query.product line", "document.kind", "document.open",
        "document.updated_at",
    ]  # fmt: skip
    assert set(found["query.language"]) == {"de", "en", "other"}  # "xx" is of 3 queries
    assert set(found["query.product line"]) == {"new", "old", "none"}
    assert set(found["document.updated_at"]) == {"2022", "2023", "2024"}
    assert set(found["document.kind"]) == {"page", "faq"}  # of the best answer, not the worse
    assert set(found["document.open"]) == {"True", "False"}


def test_every_query_is_in_one_cohort_of_a_field(dataset: Dataset, task: Task) -> None:
    found = cohorts_of(dataset, task, ("fields", "derived", "query.language & document.kind"))
    places: dict[str, list[int]] = {}
    for field, value, rows in cohorts_in(found):
        assert [found[field][row] for row in rows] == [value] * len(rows)
        places.setdefault(field, []).extend(rows.tolist())
    assert set(places) == set(found)
    assert all(sorted(rows) == list(range(COUNT)) for rows in places.values())


def test_expressions_and_their_names(dataset: Dataset, task: Task) -> None:
    found = cohorts_of(
        dataset,
        task,
        (
            "long = query.words >= 9",
            'german_faq = query.language == "de" & document.kind == "faq"',
            'document.updated_at >= "2023-01-01"',
            "long & document.kind",
            "both = long and german_faq",
        ),
    )
    for i, query in enumerate(task.queries):
        number = int(query.id[1:])
        long = len(query.content.split()) >= 9
        german_faq = number % 3 == 0 and number % 2 == 0
        assert found["long"][i] == ("yes" if long else "no")
        assert found["german_faq"][i] == ("yes" if german_faq else "no")
        assert found['document.updated_at >= "2023-01-01"'][i] == ("yes" if number % 3 else "no")
        kind = "page" if number % 2 else "faq"
        assert found["long & document.kind"][i] == f"{'yes' if long else 'no'} & {kind}"
    assert set(found["both"]) == {"no", "other"}  # 12 queries are both: pooled


def test_a_crossing_pools_what_is_few(dataset: Dataset, task: Task) -> None:
    found = cohorts_of(dataset, task, ("query.language & document.kind",))
    (labels,) = found.values()
    sizes = {value: len(rows) for _, value, rows in cohorts_in(found)}
    assert sizes == {"en & page": 39, "en & faq": 38, "de & page": 20, "de & faq": 20, "other": 3}
    assert labels == crossed([cohorts_of(dataset, task, (f,))[f] for f in
                              ("query.language", "document.kind")])  # fmt: skip


def test_what_words_show(dataset: Dataset, task: Task) -> None:
    trained = trained_texts(dataset)
    assert trained == {content_id(f"text {i}") for i in range(50)}
    found = cohorts_of(dataset, task, ("derived",), trained=trained)
    for i, query in enumerate(task.queries):
        number = int(query.id[1:])
        words = len(query.content.split())
        size = "short" if words <= 4 else "medium" if words <= 12 else "long"
        assert found["derived.length"][i].startswith(size)
        assert found["derived.numbers"][i] == ("yes" if number % 2 else "no")
        assert found["derived.new_since_training"][i] == ("yes" if number >= 50 else "no")
        # "word" is in no document; so all queries hold a word that is rare.
        assert found["derived.rare_terms"][i] == "yes"
    assert set(found["derived.length"]) == {
        "short (up to 4 words)", "medium (5 to 12 words)", "long (over 12 words)",
    }  # fmt: skip
    assert "derived.new_since_training" not in cohorts_of(dataset, task, ("derived",))


def test_a_word_of_many_documents_is_not_rare(tmp_path: Path) -> None:
    origin = Origin(kind="human", source="x")
    with write_dataset(tmp_path / "d", licence="CC0-1.0", parents=[]) as writer:
        for i in range(40):
            rare = "gasket" if i == 7 else "pump"
            writer.add(Document(id=f"d{i}", content=f"the {rare} Pump", source="x"))
            text = "Pump?" if i % 2 else "the GASKET"
            writer.add(Query(id=f"q{i}", content=f"{text}", source="x"))
            writer.add(Judgment(query_id=f"q{i}", document_id=f"d{i}", grade=1, split="test",
                                origin=origin))  # fmt: skip
    small = Dataset.open(tmp_path / "d")
    task = read_task(small, "test")
    (labels,) = cohorts_of(small, task, ("derived.rare_terms",)).values()
    assert labels == tuple("yes" if "GASKET" in q.content else "no" for q in task.queries)


def test_few_documents_are_one_in_a_thousand() -> None:
    assert [rare_bound(n) for n in (1, 999, 2_000, 9_999, 50_000)] == [1, 1, 2, 9, 10]


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("why does it not start", None, True),
        ("Why DON\u2019T I see it", None, True),
        ("print without margins", "en", True),
        ("a notable knot", None, False),
        ("kein Bild", None, True),
        ("Treffen im Mai", "de", False),
        ("Treffen im Mai", None, False),
        ("non va mai", "it-IT", True),
        ("sin fondo", "Spanish", True),
        ("sin of pride", None, False),
        ("je ne peux pas", "fr", True),
        ("não abre", None, True),
        ("werkt niet", "nl", True),
        ("動かない", "ja", None),
    ],
)
def test_words_of_negation(text: str, language: str | None, found: bool | None) -> None:
    assert denies(text, language) is found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("query.langage", "Did you mean 'query.language'"),
        ("query.product lin", "Did you mean 'query.product line'"),
        ("query.langage & document.kind", "Did you mean 'query.language'"),
        ("derived.lenght", "Did you mean 'derived.length'"),
        ("query.word >= 3", "Did you mean 'query.words'"),
        ("lang = quer.language == 'de'", "Did you mean 'query.language'"),
        ("query.words >= ", "found the end"),
        ("query.words >= 'a'", "cannot be compared"),
        ("query.words = 8", "compared with =="),
        ("query.unique", "Divide it by an expression"),
        ("derived.new_since_training", "what a model has learned"),
        ("fields = query.words > 3", "Choose another name"),
    ],
)
def test_what_is_unknown_is_refused(dataset: Dataset, task: Task, wanted: str, said: str) -> None:
    with pytest.raises(BadSetting, match=r"evaluation\.cohorts: ") as caught:
        cohorts_of(dataset, task, (wanted,))
    assert said in str(caught.value)


def test_the_same_name_twice_is_refused() -> None:
    with pytest.raises(BadSetting, match="there twice"):
        read_wanted(("a = query.x > 1", "a = query.x > 2"))


def test_a_field_with_spaces_is_one_by_any_spelling(dataset: Dataset, task: Task) -> None:
    plain = cohorts_of(dataset, task, ("query.product line",))
    quoted = cohorts_of(dataset, task, ("`query.product line`",))
    new = cohorts_of(dataset, task, ("new = `query.product line` == 'new'",))["new"]
    assert plain == quoted
    assert [v == "new" for v in plain["query.product line"]] == [v == "yes" for v in new]


def test_not_before_a_field_is_an_expression(dataset: Dataset, task: Task) -> None:
    found = cohorts_of(dataset, task, ("not document.open", "document.open & document.kind"))
    opened = np.array([int(query.id[1:]) < 60 for query in task.queries])
    assert [v == "no" for v in found["not document.open"]] == opened.tolist()
    assert found["document.open & document.kind"][0].count(" & ") == 1
