"""An encoder for a world on a line: the nearer the last numbers of two texts, the more alike."""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from doubles import LETTERS
from torch import Tensor

from nearfar.progress import Progress, silent
from nearfar.records import Role


class Line:
    """A text ends with its angle in degrees."""

    space = replace(LETTERS, weights="line", dim=2)

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        angles = torch.tensor([math.radians(float(text.split()[-1])) for text in contents])
        return torch.stack([angles.cos(), angles.sin()], dim=1)
