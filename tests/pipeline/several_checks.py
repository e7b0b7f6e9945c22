"""Run by a test in several processes at once: a check of dev, with plain and with sharded weights.

python several_checks.py CROSS ENCODER DATA OUT
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nearfar.data.dataset import Dataset
from nearfar.evaluation.settings import Evaluation
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.pipeline.dev_pairs import read_dev_pairs
from nearfar.pipeline.evaluating import dev_check
from nearfar.training import ranks
from nearfar.training.sharding import shard


class CountedCross(CrossEncoder):
    """Knows how many pairs it has read."""

    read = 0

    def score_pairs(self, *parts: Any, **more: Any) -> torch.Tensor:
        self.read += len(parts[2])
        return super().score_pairs(*parts, **more)


class CountedEncoder(TextEncoder):
    """Knows how many texts it has read."""

    read = 0

    def encode(self, contents: Sequence[str], *parts: Any, **more: Any) -> torch.Tensor:
        self.read += len(contents)
        return super().encode(contents, *parts, **more)


def checked(cross: str, encoder: str, data: str) -> dict[str, Any]:
    """Return of each kind of model and weights what the check said, and how much was read here."""
    dataset, settings = Dataset.open(Path(data)), Evaluation()
    found: dict[str, Any] = {}
    for sharded in (False, True):
        reader = CountedCross.load(cross, CrossSettings(precision="float32"))
        looker = CountedEncoder.load(encoder, TextSettings(precision="float32"))
        for model in (reader, looker):
            model.thaw()  # as in a training
            if sharded:
                shard(model.network)
        pairs, look = read_dev_pairs(dataset, settings), dev_check(dataset, settings)
        assert pairs is not None
        assert look is not None
        name = "sharded" if sharded else "plain"
        found[f"cross {name}"] = [pairs.check(reader), reader.read]
        found[f"encoder {name}"] = [look(looker), looker.read]
    return found


def main(cross: str, encoder: str, data: str, out: str) -> None:
    torch.set_num_threads(1)
    with ranks.together(torch.device("cpu")):
        found = checked(cross, encoder, data)
        Path(out, f"{ranks.rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
