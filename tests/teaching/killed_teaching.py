"""Run by a test in a process of its own, which kills itself in the middle.

    python tests/teaching/killed_teaching.py DATA NEW LOG KILL_AFTER_PAIRS PAIRS_PER_BLOCK

Each pair that is scored is a line in LOG, written before the score is returned.
"""

import os
import signal
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


class LoggingReranker:
    """Scores as `NumberReranker`, and writes down how many pairs; dies at a number of them."""

    fingerprint = "a" * 16

    def __init__(self, log: Path, kill_after: int) -> None:
        self._log, self._kill_after = log, kill_after
        self._own = NumberReranker()
        self._done = 0

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
        if self._kill_after >= 0 and self._done + len(pairs) > self._kill_after:
            os.kill(os.getpid(), signal.SIGKILL)  # no handler, no farewell
        self._own.scored.clear()
        found = self._own.score_pairs(queries, documents, pairs)
        with self._log.open("a") as log:
            log.writelines(f"{query}|{document}\n" for query, document in self._own.scored)
        self._done += len(pairs)
        return found


def main(data: str, folder: str, log: str, kill_after: str, block: str) -> TeachingSummary:
    torch.set_num_threads(1)
    settings = Teaching(pairs_per_block=int(block))
    reranker = LoggingReranker(Path(log), int(kill_after))
    return teach(reranker, Dataset.open(Path(data)), Path(folder), settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
