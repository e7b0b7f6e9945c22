"""Which of the safe candidates become negatives."""

import numpy as np

from nearfar.mining.asking import Asked
from nearfar.mining.settings import Mining


def sampled(safe: list[Asked], settings: Mining, dice: np.random.Generator) -> list[Asked]:
    """Return as many as are wanted, in their order."""
    count = settings.negatives_per_query
    if settings.sampling == "top" or len(safe) <= count:
        return safe[:count]
    weights = np.zeros(len(safe))
    if settings.sampling == "score":
        weights += [one.candidate.score / settings.sampling_temperature for one in safe]
    # The largest of logits with Gumbel noise: a draw without replacement by their softmax.
    noisy = weights + dice.gumbel(size=len(safe))
    return [safe[place] for place in sorted(np.argsort(-noisy)[:count])]
