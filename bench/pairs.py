"""Training pairs of a BEIR folder as JSONL, for contenders that must see the same ones."""

import json
import random
import tempfile
from pathlib import Path


def write_pairs(source: Path, path: Path, count: int, *, unique: bool) -> None:
    """Write some training pairs in a fixed order.

    Args:
        source: a BEIR folder.
        path: of the JSONL.
        count: most pairs.
        unique: every query and every document once: what the peer's sampler would otherwise
            have to avoid. Else documents drawn by lot with all of their queries, as traffic is.
    """
    from nearfar.data.importing import ImportOptions, import_source

    with tempfile.TemporaryDirectory() as folder:
        dataset = import_source(source, Path(folder) / "d", ImportOptions()).dataset
        documents = {document.id: document.content for document in dataset.documents()}
        queries = {query.id: query.content for query in dataset.queries()}
        judged = [j for j in dataset.judgments("train") if j.grade > 0]
    dice = random.Random(0)
    dice.shuffle(judged)
    if not unique:
        by_document: dict[str, list[int]] = {}
        for place, judgment in enumerate(judged):
            by_document.setdefault(judgment.document_id, []).append(place)
        judged = [judged[place] for places in by_document.values() for place in places][:count]
        dice.shuffle(judged)
    rows, seen = [], set()
    for judgment in judged:
        pair = (queries[judgment.query_id], documents[judgment.document_id])
        if not (unique and seen & set(pair)):
            seen |= set(pair)
            rows.append({"query": pair[0], "document": pair[1]})
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows[:count])
