"""An index that takes writes: what is unchanged is not embedded, and what ends early goes on."""

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
from doubles import LETTERS, LetterEncoder
from live_world import DOCUMENTS, FIELDS, KINDS, Counting, filled, new_shelf, text
from shelf import QUERIES, TEXTS, Scattered, best, cosines
from tiny import WORDS, tiny_bert

from nearfar.errors import BadFile, BadRecord, BadSetting, SpaceMismatch
from nearfar.model.space import EmbeddingSpace
from nearfar.model.text import TextEncoder
from nearfar.records import Document
from nearfar.search.chunks import Cutting
from nearfar.search.live_facts import LiveFacts
from nearfar.search.live_index import LiveIndex, Upserted
from nearfar.stores.contract import Layout
from nearfar.stores.filters import read_where
from nearfar.stores.memory import MemoryShelf


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_are_found_and_come_back_whole(kind: str, tmp_path: Path) -> None:
    index = filled(new_shelf(kind, tmp_path))
    for query, answer in zip(QUERIES, index.search(QUERIES, k=7), strict=True):
        want = best(cosines(query), 7)
        assert [hit.document for hit in answer.hits] == [DOCUMENTS[place] for place in want]
        assert [hit.rank for hit in answer.hits] == list(range(1, 8))
        assert [hit.score for hit in answer.hits] == pytest.approx(
            [cosines(query)[place] for place in want], abs=1e-5
        )
    index.close()


def test_only_what_is_new_or_changed_is_embedded() -> None:
    encoder = Counting()
    index = LiveIndex.create(MemoryShelf(), encoder, fields=FIELDS)
    assert index.upsert(DOCUMENTS[:40]) == Upserted(embedded=40, unchanged=0)
    assert index.upsert(DOCUMENTS) == Upserted(embedded=20, unchanged=40)
    assert encoder.embedded == TEXTS
    again = replace(DOCUMENTS[3], content="quite another text")
    moved = replace(DOCUMENTS[4], fields={"side": "up", "place": 4})
    told = replace(DOCUMENTS[5], source="elsewhere:1")
    changed = [again, moved, told]
    assert index.upsert([*changed, *DOCUMENTS[6:9]]) == Upserted(embedded=3, unchanged=3)
    assert index.fetch(one.id for one in changed) == {one.id: one for one in changed}
    assert index.count() == 60


def test_a_number_of_another_kind_is_a_change() -> None:
    index = LiveIndex.create(MemoryShelf(), LetterEncoder())
    one = [text(0, "a", {"n": 1})]
    index.upsert(one)
    for other in (1.0, True, "1"):
        assert index.upsert([text(0, "a", {"n": other})]).embedded == 1
    assert type(index.fetch(["d00"])["d00"].fields["n"]) is str


def test_of_one_id_the_last_counts() -> None:
    index = LiveIndex.create(MemoryShelf(), LetterEncoder())
    done = index.upsert([text(0, "first"), text(1, "one"), text(0, "last")])
    assert done == Upserted(2, 1)
    assert index.fetch(["d00"])["d00"].content == "last"


def many(count: int) -> list[Document]:
    return [Document(id=f"{n:05}", content=f"text {n}") for n in range(count)]


def test_a_load_that_ended_early_goes_on_where_it_was() -> None:
    shelf, encoder = MemoryShelf(), Counting()
    index = LiveIndex.create(shelf, encoder)
    encoder.most = 2_500
    told: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        index.upsert(many(3_000), progress=lambda what, done, total, note="": told.append(done))
    assert told == [1_024, 2_048]
    assert index.count() == 2_048  # what was told is in
    again = Counting()
    index = LiveIndex.open(shelf, again)
    assert index.upsert(many(3_000)) == Upserted(952, 2_048)
    assert len(again.embedded) == 952
    assert index.count() == 3_000


def test_documents_are_read_no_further_than_they_are_kept() -> None:
    index = LiveIndex.create(MemoryShelf(), LetterEncoder())
    short, long = [], []

    def one_by_one() -> Iterator[Document]:
        for number in range(5):
            long.append(number - index.count())
            yield Document(id=f"long{number}", content="x" * 2_500_000)
        for number, document in enumerate(many(3_000)):
            short.append(5 + number - index.count())
            yield document

    index.upsert(one_by_one())
    assert (max(long), max(short)) == (1, 1_023)
    assert index.count() == 3_005


def test_what_was_deleted_is_found_no_more() -> None:
    index = filled()
    (answer,) = index.search([QUERIES[0]], k=1)
    first = answer.hits[0].document.id
    assert index.delete([first, "nobody"]) == 1
    (answer,) = index.search([QUERIES[0]], k=60)
    assert first not in [hit.document.id for hit in answer.hits]
    assert (len(answer.hits), index.count(), index.fetch([first])) == (59, 59, {})


@pytest.mark.parametrize("choice", [field.name for field in fields(EmbeddingSpace)])
def test_another_model_is_refused_and_the_choice_that_differs_is_named(choice: str) -> None:
    index = filled(encoder=LetterEncoder())
    other = {str: "other", int: 25, bool: False}[type(getattr(LETTERS, choice))]
    stranger = LetterEncoder(replace(LETTERS, **{choice: other}))
    with pytest.raises(SpaceMismatch, match=rf"open version 'v1'[\s\S]*\n  {choice}: .* here"):
        LiveIndex.open(index.shelf, stranger)


def test_an_index_is_not_made_twice_nor_opened_before_it_is_made() -> None:
    shelf = MemoryShelf()
    with pytest.raises(BadFile, match="found no version that is live"):
        LiveIndex.open(shelf, LetterEncoder())
    LiveIndex.create(shelf, LetterEncoder())
    with pytest.raises(BadSetting, match="version 'v1' is live"):
        LiveIndex.create(shelf, LetterEncoder())


def test_a_version_that_never_said_what_it_is_is_refused_and_stepped_over() -> None:
    shelf = MemoryShelf()
    shelf.create("v1", Layout(dim=26)).close()
    with pytest.raises(BadFile, match="'v1' of the index: expected facts of format 2, found None"):
        LiveIndex.open(shelf, LetterEncoder(), version="v1")
    assert LiveIndex.create(shelf, LetterEncoder()).version == "v2"


@pytest.mark.parametrize(
    "harm", [{"state": "asleep"}, {"unheard": 1}, {"space": None}, {"space": {"dim": 26}}]
)
def test_facts_that_were_changed_by_hand_are_refused(harm: dict[str, object]) -> None:
    index = filled()
    index.store.tell(index.facts.to_json() | harm)
    with pytest.raises(BadFile, match="v1"):
        LiveIndex.open(index.shelf, Scattered())


def test_it_says_what_it_is() -> None:
    made = LiveIndex.create(
        MemoryShelf(), LetterEncoder(), model="letters", made_at="2026-01-02", fields=FIELDS
    )
    assert made.facts == LiveFacts(space=LETTERS, model="letters", made_at="2026-01-02")
    assert dict(made.store.layout.fields) == FIELDS


def test_a_field_of_another_kind_puts_in_nothing_of_its_chunk() -> None:
    index = LiveIndex.create(MemoryShelf(), LetterEncoder(), fields=FIELDS)
    with pytest.raises(BadRecord, match="place"):
        index.upsert([text(0, "fine"), text(1, "bad", {"place": "first"})])
    assert index.count() == 0


def test_one_text_instead_of_a_list_is_a_callers_slip() -> None:
    with pytest.raises(ValueError, match="list of queries, got the text 'cat'"):
        filled().search("cat")


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> LiveIndex:
    """Documents far longer than the model reads, each with one word of its own in the end."""
    encoder = TextEncoder.load(tiny_bert(tmp_path_factory.mktemp("model")))
    index = LiveIndex.create(MemoryShelf(), encoder, cutting=Cutting(tokens=24))
    common, own = WORDS[:60], WORDS[60:70]
    index.upsert(
        Document(id=word, content=" ".join([*common, word, word, word, word]), source=f"{n}")
        for n, word in enumerate(own)
    )
    return index


def test_a_long_document_is_found_by_its_best_piece(reading: LiveIndex) -> None:
    word = WORDS[65]
    (answer,) = reading.search([" ".join([*WORDS[56:60], word, word, word, word])], explain=True)
    hit = answer.hits[0]
    assert (hit.document.id, hit.document.source) == (word, "5")
    assert hit.why is not None
    start, stop = hit.why.span
    assert hit.why.text == hit.document.content[start:stop]
    assert hit.why.text.endswith(f"{word} {word} {word} {word}")
    assert (hit.why.piece, hit.why.pieces) == (hit.why.pieces - 1, hit.why.pieces)
    assert hit.why.terms == (*WORDS[56:60], word)
    assert hit.cosine == pytest.approx(max_cosine(reading, hit.document, answer_query(word)))


def answer_query(word: str) -> str:
    return " ".join([*WORDS[56:60], word, word, word, word])


def max_cosine(index: LiveIndex, document: Document, query: str) -> float:
    (spans,) = index.cutter([document.content])
    pieces = [document.content[start:stop] for start, stop in spans]
    vectors = index.encoder.encode([query, *pieces], "document")
    return float((vectors[1:] @ vectors[0]).max())


def test_words_find_the_piece_that_holds_them(reading: LiveIndex) -> None:
    (answer,) = reading.search([WORDS[63]], words=1.0, explain=True)
    (hit, *others) = answer.hits
    assert hit.document.id == WORDS[63]
    assert (hit.word_rank, hit.why is not None) == (1, True)
    assert all(other.word_rank is None for other in others)


def test_conditions_narrow_what_is_found() -> None:
    index = filled()
    where = read_where(["side=right", "place>=30"], index.store.layout.fields)
    (answer,) = index.search([QUERIES[1]], where=where, k=60)
    want = [place for place in best(cosines(QUERIES[1]), 60) if place % 3 == 0 and place >= 30]
    assert [hit.document for hit in answer.hits] == [DOCUMENTS[place] for place in want]
    with pytest.raises(BadSetting, match="'colour' is no field"):
        read_where(["colour=red"], index.store.layout.fields)


def test_all_others_are_taken_out() -> None:
    index = filled()
    assert index.delete_others({"d03", "d07", "nobody"}) == 58
    assert [document.id for document in index.store.scan()] == ["d03", "d07"]
