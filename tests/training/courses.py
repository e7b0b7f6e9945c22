"""Courses to look at: a second small dataset, and what the batches of a course hold."""

from pathlib import Path

from test_batch import written
from tiny import WORDS

from nearfar.data.dataset import Dataset
from nearfar.model.text import TextEncoder
from nearfar.training.course import Course
from nearfar.training.settings import Training

SETTINGS = Training(pairs_per_step=4, epochs=2, checks=1)


def twelve_pairs(folder: Path) -> Dataset:
    """Write pairs of which some share a document; one text stands on both sides."""
    documents = {f"d{i}": f"{WORDS[i]} {WORDS[i + 9]}" for i in range(10)}
    queries = {f"q{i}": f"{WORDS[-i - 1]} {WORDS[i]}" for i in range(11)} | {"q11": documents["d0"]}
    facts = [(f"q{i}", f"d{i % 10}", 1.0, "train") for i in range(11)]
    facts += [("q11", "d5", 1.0, "train")]
    return written(folder, documents, queries, facts)  # type: ignore[arg-type]


def texts_of(course: Course, learner: TextEncoder, step: int) -> tuple[list[str], list[str]]:
    """Return the queries and the documents of a batch as the model reads them."""
    task, batch = course[step]
    store = course.stores[task]
    decode = learner.tokens.tokenizer.decode
    text = [decode(store[row], skip_special_tokens=True) for row in batch.texts]
    return [text[i] for i in batch.query.tolist()], [text[i] for i in batch.document.tolist()]


def drawn(course: Course) -> list[tuple[int, list[tuple[int, int]]]]:
    """Return of each step the task, and the rows of the answers in its batch."""
    found = []
    for task, batch in map(course.__getitem__, range(course.steps)):
        queries = batch.texts[batch.query[batch.edges.query].numpy()]
        documents = batch.texts[batch.document[batch.edges.document].numpy()]
        found.append((task, list(zip(queries.tolist(), documents.tolist(), strict=True))))
    return found
