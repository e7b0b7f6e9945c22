"""`nearfar plan`: what a test set lacks, and the sample that would fill the gap.

plan.json      per cohort and metric what is there and what is missing, and what was drawn
queue.jsonl    the pairs to mark
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path

from nearfar.data.dataset import Dataset
from nearfar.data.splits import Shares
from nearfar.errors import BadRecord, require
from nearfar.evaluation.embedded import Task, read_task
from nearfar.evaluation.scores import Scores
from nearfar.files import whole_file
from nearfar.records import Query, Split
from nearfar.release.deciding import cohort_rows
from nearfar.release.dividing import fields_of, labels_of, more_labels
from nearfar.release.drawing import dealt, draw, pooled, shuffled
from nearfar.release.homes import Homes, text_of
from nearfar.release.needs import ASSUMED, Differences, Divided, Need, needs
from nearfar.release.policy import ALL, Policy
from nearfar.release.queue import Item
from nearfar.release.simple_rules import judged_enough

Ranked = Mapping[str, Sequence[str]]
Find = Callable[[Task, int], Sequence[Ranked]]  # of each system what it found, to a depth

_JUDGED_DEPTH = 10  # what judged_at_10_score looks at


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the sample shall be like."""

    split: Split = "test"
    effect: float | None = None  # the loss that matters; None: the margins of the policy
    fields: tuple[str, ...] | None = None  # cohorts; None: all that divide the queries
    deviation: float = ASSUMED  # where no two results tell
    budget: int = 1_000  # pairs to mark
    depth: int = 10  # hits of each system that are marked
    labellers: tuple[str, ...] = ()
    overlap: float = 0.1  # share of the queries that two of them mark
    share: float = 0.1  # of new groups that belong to the split, by their hash
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.split in ("test", "dev"), "--split", "test or dev", self.split)
        require(self.budget >= 1, "--budget", "1 or more", self.budget)
        require(self.depth >= 1, "--depth", "1 or more", self.depth)
        require(0 <= self.overlap <= 1, "--overlap", "0 to 1", self.overlap)
        require(0 < self.share < 0.9, "--share", "above 0 and below 0.9", self.share)
        require(len(set(self.labellers)) == len(self.labellers) and all(self.labellers),
                "--labeller", "names, each once", ", ".join(self.labellers))  # fmt: skip

    @property
    def shares(self) -> Shares:
        """Return how new groups are divided; the other split keeps its usual tenth."""
        if self.split == "dev":
            return Shares(dev=self.share)
        return Shares(test=self.share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is needed, and what was drawn for it."""

    dataset: str  # digest
    asked: Asked
    needs: tuple[Need, ...]
    unlabelled: int  # queries that could be labelled for this split
    elsewhere: int  # unlabelled queries whose group belongs to another split
    drawn: tuple[tuple[str, int], ...]  # of each cohort, how many queries were drawn for it
    unjudged: int  # pairs that the gate misses judgments of
    without_hits: int  # queries drawn that nothing was found for
    items: tuple[Item, ...]

    def sentences(self) -> list[str]:
        """Say in words what a person should know."""
        short = [need for need in self.needs if need.missing]
        worst = max(short, key=lambda need: need.missing, default=None)
        queries = sum(count for _, count in self.drawn)
        said = ["Every cohort has enough queries."] if worst is None else [
            f"{len(short)} of {len(self.needs)} cohorts have too few queries; {worst.cohort} "
            f"lacks most: {worst.missing:,} of {worst.needed:,}."
        ]  # fmt: skip
        assumed = {need.known for need in self.needs} == {"assumed"}
        if assumed:
            said.append(
                f"How much queries differ is assumed ({self.asked.deviation:g}); two results "
                "(--candidate, --baseline) would say."
            )
        if worst is not None and queries < worst.missing:
            said.append(
                f"{queries:,} new queries were drawn of {self.unlabelled:,} that could be: more "
                "need a larger --budget, or more queries (--queries LOG)."
            )
        if self.elsewhere:
            said.append(
                f"{self.elsewhere:,} unlabelled queries belong to another split by the hash of "
                "their group, and are left to it (--share)."
            )
        if self.unjudged:
            said.append(f"{self.unjudged:,} pairs were found and never judged: they come first.")
        if self.without_hits:
            said.append(f"{self.without_hits:,} queries were drawn that nothing was found for.")
        return said


def make_plan(
    dataset: Dataset, policy: Policy, asked: Asked, find: Find | None, *,
    results: tuple[Scores, Scores] | None = None, logged: Iterable[Query] = (),
) -> Plan:  # fmt: skip
    """Say what is missing, and draw what to label.

    Args:
        dataset: whose split is measured.
        policy: the bar: metrics, margins, confidence and power.
        asked: what the sample shall be like.
        find: finds documents for the queries that were drawn; None: no pairs are wanted.
        results: of candidate and baseline: how much queries differ, and what nobody judged.
        logged: queries that the dataset does not have.

    Raises:
        BadSetting: a field is none of the queries, or a number is not allowed.
        DataMismatch: the results cannot be compared, or are of other queries.
    """
    task = _task(dataset, asked.split)
    homes = Homes(dataset, asked.shares)
    pool, elsewhere = _pool(dataset, homes, logged, asked.split)
    own, queries = tuple(task.queries) if task else (), tuple(pool.values())
    fields = fields_of((*own, *queries), asked.fields)
    more = more_labels(dataset, task, asked.fields, fields, results)
    labelled = Divided(ids=tuple(q.id for q in own), labels=labels_of(own, fields) | more)
    could = Divided(ids=tuple(pool), labels=labels_of(queries, fields))
    differences = Differences(policy, results, asked.deviation)
    found = needs(policy, labelled, could, differences, effect=asked.effect)
    first = list(islice(_unjudged(dataset, policy, results, asked), asked.budget))
    left = max(asked.budget - len(first), 0)
    drawn = draw(
        could, [query.group or query.id for query in queries], found,
        most=math.ceil(left / asked.depth), seed=asked.seed,
        seen=Counter(query.group or query.id for query in own),
    )  # fmt: skip
    items, without = _items(dataset, [(pool[one.query_id], one.cohort) for one in drawn],
                            asked, find, left)  # fmt: skip
    kept = {item.query_id for item in items}
    chosen = Counter(one.cohort for one in drawn if find is None or one.query_id in kept)
    return Plan(
        dataset=dataset.digest, asked=asked, needs=found, unlabelled=len(pool),
        elsewhere=elsewhere, drawn=tuple(chosen.items()), unjudged=len(first),
        without_hits=without, items=tuple(_dealt([*first, *items], asked)),
    )  # fmt: skip


def write_plan(plan: Plan, path: Path) -> None:
    """Write plan.json, whole or not at all."""
    facts = {
        "dataset": plan.dataset,
        "asked": asdict(plan.asked),
        "needs": [asdict(need) | {"missing": need.missing} for need in plan.needs],
        "unlabelled": plan.unlabelled,
        "elsewhere": plan.elsewhere,
        "drawn": dict(plan.drawn),
        "pairs": len(plan.items),
        "unjudged": plan.unjudged,
        "without_hits": plan.without_hits,
        "sentences": plan.sentences(),
    }
    with whole_file(path) as part:
        part.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _task(dataset: Dataset, split: Split) -> Task | None:
    """Return what can be measured now; None where nothing is labelled yet."""
    try:
        return read_task(dataset, split)
    except BadRecord:
        return None


def _pool(
    dataset: Dataset, homes: Homes, logged: Iterable[Query], split: Split
) -> tuple[dict[str, Query], int]:
    """Return what could be labelled for a split, and how many queries belong to another one."""
    pool: dict[str, Query] = {}
    texts: set[str] = set()
    elsewhere = 0
    for query in chain(dataset.queries(), logged):
        text = text_of(query)
        if homes.judged(query.id) or homes.twin(query) or query.id in pool or text in texts:
            continue
        if homes.of(query) == split:
            pool[query.id] = query
            texts.add(text)
        else:
            elsewhere += 1
    return pool, elsewhere


def _unjudged(
    dataset: Dataset, policy: Policy, results: tuple[Scores, Scores] | None, asked: Asked
) -> Iterator[Item]:
    """Yield what both systems found and nobody judged, where the gate calls that too much.

    What the baseline found is marked too: else the comparison would lean to the other side.
    """
    if results is None:
        return
    cohorts = {
        name: rows
        for name, rows in cohort_rows(results[0], asked.fields)
        if name == ALL or len(rows) >= policy.fewest
    }
    short = [cohorts[one.cohort] for one in judged_enough(policy, *results, cohorts)]
    wanted = {results[0].queries[row] for rows in short for row in rows}
    rankings = [dict(zip(one.queries, one.hits, strict=False)) for one in results]
    judged: dict[str, set[str]] = {}
    for one in dataset.judgments(asked.split):
        if not math.isnan(one.grade):
            judged.setdefault(one.query_id, set()).add(one.document_id)
    known = set(dataset.table("documents", ["id"])["id"].to_pylist())
    for query in shuffled("unjudged", sorted(wanted & judged.keys()), asked.seed):
        found = set(pooled(rankings, query, _JUDGED_DEPTH)) & known - judged[query]
        for document in shuffled(query, sorted(found), asked.seed):
            yield Item(query_id=query, document_id=document, split=asked.split,
                       why="found, and never judged")  # fmt: skip


def _items(
    dataset: Dataset, drawn: Sequence[tuple[Query, str]], asked: Asked, find: Find | None, most: int
) -> tuple[list[Item], int]:
    """Return the pairs of whole queries, and of how many queries nothing was found."""
    if not drawn or find is None:
        return [], 0
    there = {query.id for query in dataset.queries()}
    ids = dataset.table("documents", ["id"])["id"].to_pylist()
    row_of = {id_: row for row, id_ in enumerate(ids)}
    queries = tuple(query for query, _ in drawn)
    task = Task(queries=queries, document_ids=tuple(ids), row_of=row_of, judged={},
                without_answer=0)  # fmt: skip
    rankings = find(task, asked.depth)
    items: list[Item] = []
    without = 0
    for query, cohort in drawn:
        documents = [one for one in pooled(rankings, query.id, asked.depth) if one in row_of]
        without += not documents
        if len(items) + len(documents) > most:
            break  # a query of which only some documents are marked says little
        new = query.id not in there
        items += [
            Item(query_id=query.id, document_id=document, split=asked.split,
                 why=f"new query of {cohort}", content=query.content if new else "",
                 group=query.group if new else "", fields=query.fields if new else {})
            for document in shuffled(query.id, documents, asked.seed)
        ]  # fmt: skip
    return items, without


def _dealt(items: Sequence[Item], asked: Asked) -> Iterator[Item]:
    queries = [item.query_id for item in items]
    names = dealt(queries, asked.labellers, asked.overlap, asked.seed)
    for item in items:
        yield replace(item, labellers=names[item.query_id])
