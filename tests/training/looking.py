"""What a run left behind, read back; and the slow way to what it should have said."""

import json
from pathlib import Path
from typing import Any

import oracles
import torch
from safetensors.torch import load_file
from torch import Tensor

from nearfar.losses import Edges
from nearfar.model.text import TextEncoder
from nearfar.training.batch import Batch
from nearfar.training.store import TokenStore


def steps_of(folder: Path) -> list[dict[str, Any]]:
    """Return what the log says of each step."""
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [row for row in rows if row["kind"] == "step"]


def losses_of(folder: Path) -> list[float]:
    return [row["loss"] for row in steps_of(folder)]


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Return the weights of a model's folder, without the pooler, which nothing uses."""
    found = load_file(folder / "model.safetensors")
    return {name: weight for name, weight in found.items() if "pooler" not in name}


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the largest difference between two sets of weights."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def vectors_of(
    encoder: TextEncoder, store: TokenStore, batch: Batch, layer: int = -1
) -> tuple[Tensor, Tensor]:
    """Return the vectors of a batch's queries and documents after a layer, a text at a time."""
    means = []
    for row in batch.texts:
        ids = torch.tensor(store[row], dtype=torch.int64)[None]
        found = encoder.network.transformer(input_ids=ids, output_hidden_states=True)
        means.append(found.hidden_states[layer][0].mean(0))
    vectors = torch.nn.functional.normalize(torch.stack(means), dim=1)
    return vectors[batch.query], vectors[batch.document]


def infonce_of(queries: Tensor, documents: Tensor, edges: Edges, temperature: float) -> float:
    """Return the loss of a batch as its slow twin says it."""
    known = zip(edges.query.tolist(), edges.document.tolist(), edges.grade.tolist(), strict=True)
    excluded = [] if edges.excluded is None else edges.excluded.tolist()
    return oracles.infonce(
        queries.detach().double().tolist(),
        documents.detach().double().tolist(),
        list(known),
        temperature=temperature,
        excluded=[(query, document) for query, document in excluded],
    )


def unmoved() -> dict[str, Any]:
    """Return settings of a run whose weights stay, but for rounding, where they began."""
    return {"learning_rate": 1e-12, "weight_decay": 0.0, "checks": 1}
