"""Counts the records of each cohort, and how many of them are longer than a model reads."""

import difflib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from nearfar.data.findings import EXAMPLES, Cohort, Example
from nearfar.errors import BadSetting
from nearfar.records import Document, Query, Role, Scalar

CountTokens = Callable[[Sequence[str], Role], Sequence[int]]
_VALUES_OF_A_COHORT = 20  # a field with more different values is taken for a name, not a cohort


@dataclass
class CohortCounter:
    """Sees every text once, in batches; remembers counts alone.

    Without `wanted`, every field with 2 to 20 different values is a cohort.
    """

    count_tokens: CountTokens | None
    max_tokens: int | None
    wanted: Sequence[str] | None
    cut: Counter[Role] = field(default_factory=Counter)
    cut_examples: dict[Role, list[Example]] = field(default_factory=dict)
    _rows: Counter[tuple[str, str, Role]] = field(default_factory=Counter)
    _cut_rows: Counter[tuple[str, str, Role]] = field(default_factory=Counter)
    _values: dict[str, set[str]] = field(default_factory=dict)
    _fields: set[str] = field(default_factory=set)

    def see(self, texts: Sequence[Document | Query], role: Role) -> None:
        """Count a batch of texts of one role."""
        lengths = self._lengths(texts, role)
        for place, text in enumerate(texts):
            keys = [(name, value, role) for name, value in self._cohorts_of(text.fields)]
            self._rows.update(keys)
            if lengths and self.max_tokens is not None and lengths[place] > self.max_tokens:
                self._cut_rows.update(keys)
                self.cut[role] += 1
                examples = self.cut_examples.setdefault(role, [])
                if len(examples) < EXAMPLES:
                    detail = f"{lengths[place]:,} tokens"
                    examples.append(Example((text.id,), detail))

    def _lengths(self, texts: Sequence[Document | Query], role: Role) -> Sequence[int]:
        if self.count_tokens is None or self.max_tokens is None:
            return ()
        return self.count_tokens([text.content for text in texts], role)

    def _cohorts_of(self, fields: Mapping[str, Scalar]) -> list[tuple[str, str]]:
        """Return the (field, value) pairs that are still taken for cohorts."""
        self._fields.update(fields)
        found = []
        for name, value in fields.items():
            if self.wanted is not None:
                if name in self.wanted:
                    found.append((name, str(value)))
                continue
            values = self._values.setdefault(name, set())
            if len(values) <= _VALUES_OF_A_COHORT:
                values.add(str(value))
                found.append((name, str(value)))
        return found

    def cohorts(self) -> tuple[Cohort, ...]:
        """Return the cohorts by field, the largest first.

        Raises:
            BadSetting: a cohort that was asked for is no field of any record.
        """
        for name in self.wanted or ():
            if name not in self._fields:
                near = difflib.get_close_matches(name, self._fields, n=1)
                raise BadSetting(
                    f"cohorts: no record has a field {name!r}. Found: "
                    f"{', '.join(sorted(self._fields)) or 'none'}."
                    + (f" Did you mean {near[0]!r}?" if near else "")
                )
        named = {(name, value) for name, value, _ in self._rows if self._is_cohort(name)}
        cohorts = [
            Cohort(
                field=name,
                value=value,
                documents=self._rows[name, value, "document"],
                queries=self._rows[name, value, "query"],
                documents_cut=self._cut_rows[name, value, "document"],
                queries_cut=self._cut_rows[name, value, "query"],
            )
            for name, value in named
        ]
        return tuple(sorted(cohorts, key=lambda c: (c.field, -c.queries, -c.documents, c.value)))

    def _is_cohort(self, name: str) -> bool:
        if self.wanted is not None:
            return name in self.wanted
        return 2 <= len(self._values[name]) <= _VALUES_OF_A_COHORT
