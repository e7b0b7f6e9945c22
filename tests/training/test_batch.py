"""A batch carries every judgment between its texts, and is a function of seed and step."""

from pathlib import Path

import numpy as np
import pytest

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.model.text import TextEncoder
from nearfar.records import Document, Judgment, Origin, Query, Split
from nearfar.training.batch import Batch, make_batch
from nearfar.training.batches import Batches
from nearfar.training.settings import Training
from nearfar.training.store import TokenStore, open_store

Facts = list[tuple[str, str, float, Split]]


def written(
    folder: Path, documents: dict[str, str], queries: dict[str, str], facts: Facts
) -> Dataset:
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for id_, content in documents.items():
            writer.add_document(Document(id=id_, content=content, source="x:1"))
        for id_, content in queries.items():
            writer.add_query(Query(id=id_, content=content, source="x:1"))
        for query, document, grade, split in facts:
            origin = Origin(kind="human", source="x:1")
            writer.add_judgment(
                Judgment(
                    query_id=query, document_id=document, grade=grade, origin=origin, split=split
                )
            )
    return Dataset.open(folder)


def everything(store: TokenStore, pairs: int = 99) -> Batch:
    """The one batch that holds all pairs."""
    return Batches(store, Training(pairs_per_step=pairs))[0]


def relations(batch: Batch, store: TokenStore, tokens: TextEncoder) -> dict[tuple[str, str], str]:
    """What the batch says of each query text and document text."""
    decode = tokens.tokens.tokenizer.decode
    text = [decode(store[row], skip_special_tokens=True) for row in batch.texts]
    queries = [text[i] for i in batch.query.tolist()]
    documents = [text[i] for i in batch.document.tolist()]
    said = {}
    edges = batch.edges
    if edges.excluded is not None:
        for q, d in edges.excluded.tolist():
            said[queries[q], documents[d]] = "excluded"
    for q, d, g in zip(
        edges.query.tolist(), edges.document.tolist(), edges.grade.tolist(), strict=True
    ):
        said[queries[q], documents[d]] = "answer" if g > 0 else "negative"
    return said


@pytest.fixture
def graph(tmp_path: Path, learner: TextEncoder) -> TokenStore:
    documents = {"d1": "ba da", "d2": "fa ga", "d3": "ka la", "copy of d1": "ba da", "own": "ma na"}
    queries = {"q1": "pa", "q2": "ra", "q3": "ma na", "asked again": "pa", "late": "sa"}
    facts: Facts = [
        ("q1", "d1", 1.0, "train"),
        ("q2", "d2", 1.0, "train"),
        ("asked again", "d2", 1.0, "train"),  # so d2 answers q1 too
        ("q3", "d3", 1.0, "train"),
        ("q2", "d3", 0.0, "train"),
        ("late", "own", 1.0, "train"),
        ("q2", "copy of d1", 1.0, "test"),  # so d1 answers q2, but must not be learned
    ]
    return open_store(
        tmp_path / "s", written(tmp_path / "d", documents, queries, facts), learner.tokens
    )


def test_equal_texts_are_one_text_whatever_their_ids(graph: TokenStore) -> None:
    assert len(graph) == 4 + 4 - 1  # "ma na" is both a query and a document, "pa" asked twice
    batch = everything(graph)
    assert len(np.unique(batch.texts)) == len(batch.texts) == 7


def test_every_known_relation_is_there_however_its_texts_came_in(
    graph: TokenStore, learner: TextEncoder
) -> None:
    said = relations(everything(graph), graph, learner)
    assert said == {
        ("pa", "ba da"): "answer",
        ("pa", "fa ga"): "answer",
        ("ra", "fa ga"): "answer",
        ("ra", "ka la"): "negative",
        ("ra", "ba da"): "excluded",
        ("ma na", "ka la"): "answer",
        ("ma na", "ma na"): "excluded",
        ("sa", "ma na"): "answer",
    }


def test_a_teachers_scores_stand_beside_the_edges_they_are_of(
    tmp_path: Path, learner: TextEncoder
) -> None:
    with write_dataset(tmp_path / "d", licence="CC0-1.0", parents=[]) as writer:
        for id_, content in {"d1": "ba da", "d2": "fa ga", "d3": "ka la"}.items():
            writer.add_document(Document(id=id_, content=content, source="x:1"))
        writer.add_query(Query(id="q", content="pa", source="x:1"))
        for document, grade, score in (("d1", 1.0, 7.5), ("d2", 0.0, -2.0), ("d3", 1.0, None)):
            writer.add_judgment(
                Judgment(query_id="q", document_id=document, grade=grade, split="train",
                         origin=Origin(kind="human", source="x:1"), score=score)
            )  # fmt: skip
    store = open_store(tmp_path / "s", Dataset.open(tmp_path / "d"), learner.tokens)
    edges = make_batch(store, np.array([0]), np.array([1, 2, 3]), pairs=1).edges
    assert edges.score is not None
    np.testing.assert_array_equal(edges.grade, [1.0, 0.0, 1.0])
    np.testing.assert_array_equal(edges.score, [7.5, -2.0, np.nan])


def test_without_a_teacher_edges_have_no_scores(graph: TokenStore) -> None:
    assert everything(graph).edges.score is None


def test_a_judged_negative_comes_with_its_pair_when_asked_for(
    graph: TokenStore, learner: TextEncoder
) -> None:
    known = graph.known
    wanted = int(np.flatnonzero(known.grade == 0)[0])
    negative = known.document[wanted]
    settings = Training(pairs_per_step=2, negatives_per_pair=1, epochs=4)
    with_it = Batches(graph, settings)
    without = Batches(graph, Training(pairs_per_step=2, epochs=4))
    seen = 0
    for step in range(with_it.steps):
        batch, plain = with_it[step], without[step]
        documents = set(batch.texts[batch.document.numpy()].tolist())
        queries = batch.texts[batch.query.numpy()].tolist()
        if known.query[wanted] in queries:
            seen += 1
            assert negative in documents
        else:
            assert documents == set(plain.texts[plain.document.numpy()].tolist())
    assert seen


def test_judged_negatives_join_unless_told_otherwise(graph: TokenStore) -> None:
    def met(negatives: int | None) -> bool:
        batches = Batches(graph, Training(pairs_per_step=2, epochs=3, negatives_per_pair=negatives))
        return any((batches[step].edges.grade == 0).any() for step in range(batches.steps))

    assert met(None)
    assert met(1)


def test_negatives_come_from_easy_to_hard_when_told_to(
    tmp_path: Path, learner: TextEncoder
) -> None:
    with write_dataset(tmp_path / "d", licence="CC0-1.0", parents=[]) as writer:
        for name in ("answer", "n1", "n2", "n3", "n4"):
            writer.add_document(Document(id=name, content=f"ba {name[-1]}", source="x:1"))
        writer.add_query(Query(id="q", content="pa", source="x:1"))
        human = Origin(kind="human", source="x:1")
        writer.add_judgment(
            Judgment(query_id="q", document_id="answer", grade=1, origin=human, split="train")
        )
        for name, score in (("n1", 0.4), ("n2", 0.1), ("n3", 0.3), ("n4", 0.2)):
            mined = Origin(kind="mined", source="x:1", facts={"score": score})
            writer.add_judgment(
                Judgment(query_id="q", document_id=name, grade=0, origin=mined, split="train")
            )
    store = open_store(tmp_path / "s", Dataset.open(tmp_path / "d"), learner.tokens)
    settings = Training(
        pairs_per_step=2, epochs=4, negatives_per_pair=1, negatives_order="easy to hard"
    )
    batches = Batches(store, settings)
    scores = {}
    for pair, score in enumerate(store.known.hardness):
        scores[int(store.known.document[pair])] = float(score)
    met = []
    for step in range(batches.steps):
        batch = batches[step]
        met += [scores[row] for row in batch.texts.tolist() if scores.get(row, np.nan) > 0]
    np.testing.assert_allclose(met, [0.1, 0.2, 0.3, 0.4])


def test_batches_can_be_had_in_any_order(store: TokenStore) -> None:
    settings = Training(pairs_per_step=4, epochs=2)
    forward = [Batches(store, settings)[step] for step in range(6)]
    backward = {step: Batches(store, settings)[step] for step in reversed(range(6))}
    for step, batch in enumerate(forward):
        assert (batch.texts == backward[step].texts).all()


def test_a_pass_meets_every_pair_once(store: TokenStore) -> None:
    batches = Batches(store, Training(pairs_per_step=6))
    assert batches.pairs == 36
    met = [
        (int(batch.texts[q]), int(batch.texts[d]))
        for batch in map(batches.__getitem__, range(6))
        for q, d in zip(
            batch.query[batch.edges.query].tolist(),
            batch.document[batch.edges.document].tolist(),
            strict=True,
        )
    ]
    known = store.known
    assert sorted(met) == sorted(zip(known.query.tolist(), known.document.tolist(), strict=True))


def test_another_seed_and_another_pass_give_another_order(store: TokenStore) -> None:
    one, other = (Batches(store, Training(pairs_per_step=6, seed=seed)) for seed in (0, 1))
    assert set(one[0].texts) != set(other[0].texts)
    assert set(one[0].texts) != set(one[6].texts)


def test_fewer_pairs_than_a_batch_holds_make_one_smaller_batch(store: TokenStore) -> None:
    batches = Batches(store, Training(pairs_per_step=1_000, epochs=3))
    assert batches.steps == 3
    assert batches[2].pairs == 36


def test_a_graph_can_be_made_of_any_texts(store: TokenStore) -> None:
    known = store.known
    batch = make_batch(store, known.query[:1], np.unique(known.document[:5]), pairs=1)
    assert batch.edges.grade.tolist() == [1.0]
