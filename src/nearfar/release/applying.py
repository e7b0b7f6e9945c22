"""Marks become judgments: the dataset is written again with what people said."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from nearfar.data.copying import copy_records
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadRecord, BadSetting
from nearfar.fingerprint import file_sha256
from nearfar.records import Judgment, Origin, Query, Split
from nearfar.release.homes import Homes
from nearfar.release.marks import Journal, Mark, settled
from nearfar.release.queue import Item, Pair

Settle = Literal["agreed", "median"]
SETTLES: tuple[Settle, ...] = ("agreed", "median")


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of the marks."""

    answers: int
    wrong: int
    undecided: int  # pairs left out: labellers disagree, and nobody settled it
    replaced: int  # judgments of before that gave way to a mark
    new_queries: int
    splits: tuple[tuple[Split, int], ...]  # judgments of each


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What holds of a pair, and the marks that say so."""

    grade: int
    marks: tuple[Mark, ...]


def apply_marks(
    dataset: Dataset,
    items: Sequence[Item],
    journals: Sequence[Journal],
    folder: Path,
    *,
    queue: str,
    settle: Settle = "agreed",
    replace: bool = False,
) -> Applied:
    """Write the dataset again with the marks of some journals.

    A mark takes the place of what was judged of its pair before: somebody looked. A judgment
    goes to its query's own split; of a query that is new, to the split of queries of its group
    or with its text, or else to that of the queue: see `Homes.of`.

    Args:
        dataset: that the queue was made for.
        items: the queue.
        journals: marks of it.
        folder: where the new dataset will stand.
        queue: name of the queue's file: where new queries come from.
        settle: of labellers who disagree, and nobody settled it: "agreed" leaves the pair out,
            "median" takes the middle grade, of two the lower.
        replace: take the place of a dataset that stands there.

    Raises:
        BadSetting: there is no such way to settle, or marks of a pair are on two scales.
        BadRecord: nothing is marked, or a mark is of a pair that is not in the queue, or names
            a text that the dataset does not have.
        BadFile: the folder exists.
    """
    if settle not in SETTLES:
        raise BadSetting(f"--settle must be {' or '.join(SETTLES)}, got {settle!r}.")
    verdicts, undecided = _verdicts(journals, settle)
    item_of = {item.pair: item for item in items}
    _require_queued(verdicts, item_of, journals)
    homes = Homes(dataset)
    asked = {item.query_id for item in items}
    there = {query.id: query for query in dataset.queries() if query.id in asked}
    made_with = {one.path.name: file_sha256(one.path) for one in journals}
    parent = {
        "kind": "dataset",
        "path": str(dataset.folder),
        "digest": dataset.digest,
        "marked_with": made_with,
    }
    licence = str(dataset.manifest.get("licence", "unknown"))
    replaced = 0
    splits: Counter[Split] = Counter()
    new: dict[str, Query] = {}

    def keep(judgment: Judgment) -> bool:
        nonlocal replaced
        scored_alone = math.isnan(judgment.grade)  # by a teacher: that is no grade
        stays = scored_alone or (judgment.query_id, judgment.document_id) not in verdicts
        replaced += not stays
        return stays

    with write_dataset(folder, licence=licence, parents=[parent], replace=replace) as writer:
        copy_records(dataset, writer, keep=keep)
        for pair, verdict in verdicts.items():
            item = item_of[pair]
            query = there.get(item.query_id)
            if query is None:
                query = new.setdefault(item.query_id, item.query(queue))
                writer.add_query(query)
            split = homes.of(query, item.split)
            splits[split] += 1
            writer.add_judgment(_judgment(pair, verdict, split))
    answers = sum(verdict.grade > 0 for verdict in verdicts.values())
    return Applied(
        answers=answers, wrong=len(verdicts) - answers, undecided=undecided, replaced=replaced,
        new_queries=len(new), splits=tuple(splits.items()),
    )  # fmt: skip


def _verdicts(journals: Sequence[Journal], settle: Settle) -> tuple[dict[Pair, _Verdict], int]:
    """Return what holds of each pair, and how many are left undecided."""
    marks: dict[Pair, list[Mark]] = {}
    for journal in journals:
        for (pair, _, settles), mark in journal.standing().items():
            if not settles:
                marks.setdefault(pair, []).append(mark)
    last_word = settled(journals)
    found: dict[Pair, _Verdict] = {}
    undecided = 0
    for pair, own in marks.items():
        if len(scales := {mark.line.scale for mark in own}) > 1:
            raise BadSetting(
                f"{own[0].source}, {own[-1].source}: expected one scale for the marks of a pair, "
                f"found {', '.join(sorted(scales))}: they cannot be compared. Name journals of "
                "one scale with --marks."
            )
        grades = sorted(mark.line.grade or 0 for mark in own)
        if len(set(grades)) == 1:
            found[pair] = _Verdict(grades[0], tuple(own))
        elif pair in last_word:
            found[pair] = _Verdict(last_word[pair].line.grade or 0, (last_word[pair],))
        elif settle == "median":
            middle = int(np.quantile(grades, 0.5, method="lower"))
            found[pair] = _Verdict(middle, tuple(own))
        else:
            undecided += 1
    return found, undecided


def _judgment(pair: Pair, verdict: _Verdict, split: Split) -> Judgment:
    grade, origin = float(verdict.grade), _origin(verdict)
    return Judgment(query_id=pair[0], document_id=pair[1], grade=grade, origin=origin, split=split)


def _origin(verdict: _Verdict) -> Origin:
    lines = [mark.line for mark in verdict.marks]
    notes = "; ".join(line.note for line in lines if line.note)
    return Origin(
        kind="human",
        source=", ".join(mark.source for mark in verdict.marks),
        by=", ".join(line.by for line in lines),
        at=max(line.at for line in lines),
        facts={"scale": lines[0].scale, "seconds": sum(line.seconds for line in lines)}
        | ({"grades": " ".join(str(line.grade) for line in lines)} if len(lines) > 1 else {})
        | ({"settled": True} if lines[0].settles else {})
        | ({"note": notes} if notes else {}),
    )


def _require_queued(
    verdicts: dict[Pair, _Verdict], item_of: dict[Pair, Item], journals: Sequence[Journal]
) -> None:
    names = ", ".join(str(journal.path) for journal in journals)
    if not verdicts:
        raise BadRecord(
            f"{names}: expected marks that can be taken over, found none. Mark with `nearfar "
            "label QUEUE DATASET --by NAME`; where labellers disagree, settle it with --settles."
        )
    for pair, verdict in verdicts.items():
        if pair not in item_of:
            raise BadRecord(
                f"{verdict.marks[0].source}: expected a pair of the queue, found query "
                f"{pair[0]!r} and document {pair[1]!r}. Is it the journal of another queue?"
            )
