"""Run by a test in a process of its own, which the test kills at a moment of its choice.

    python tests/teaching/killed_teaching.py DATA NEW LOG PAIRS_PER_BLOCK

Each pair that is scored is a line in LOG, written before the score is returned. Each time some are
scored, a line goes to standard output, so long that this process waits for who reads it: it
cannot run far ahead, and so not end before it is killed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from school import NumberReranker
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.progress import Progress, silent
from nearfar.teaching.settings import Teaching
from nearfar.teaching.teach import TeachingSummary, teach

_LONG = "." * 40_000  # a pipe holds 65,536 bytes


class LoggingReranker:
    """Scores as `NumberReranker`, and writes down which pairs."""

    fingerprint = "a" * 16

    def __init__(self, log: Path) -> None:
        self._log = log
        self._own = NumberReranker()

    def score(self, query: str, documents: Sequence[str]) -> Tensor:
        return self._own.score(query, documents)

    def score_pairs(
        self,
        queries: Sequence[str],
        documents: Sequence[str],
        pairs: Tensor,
        *,
        progress: Progress = silent,
    ) -> Tensor:
        self._own.scored.clear()
        found = self._own.score_pairs(queries, documents, pairs)
        with self._log.open("a") as log:
            log.writelines(f"{query}|{document}\n" for query, document in self._own.scored)
        sys.stdout.write(f"{len(pairs)} {_LONG}\n")
        sys.stdout.flush()
        return found


def main(data: str, folder: str, log: str, block: str) -> TeachingSummary:
    torch.set_num_threads(1)
    settings = Teaching(pairs_per_block=int(block))
    return teach(LoggingReranker(Path(log)), Dataset.open(Path(data)), Path(folder), settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
