"""Run by a test in several processes at once: train, and now and then let one of them die.

python several.py MODEL DATA FOLDER SETTINGS [RANK STEP]
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from nearfar.data.dataset import Dataset
from nearfar.errors import NearfarError
from nearfar.losses import LossSettings, RerankingLossSettings
from nearfar.model.cross_encoder import CrossEncoder, CrossSettings
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.course import Task
from nearfar.training.settings import Training
from nearfar.training.train import Hooks, train
from nearfar.training.trainee import TaskLoss, Trainee


def main(
    model: str, data: str, folder: str, settings: str, dies: str = "-1", last: str = "0"
) -> None:
    torch.set_num_threads(1)  # as the test has: rounding depends on it
    steps = 0

    def check(model: Trainee) -> dict[str, float]:
        return {"score": 0.0 if steps == 0 else 1.0}

    def stop() -> bool:
        nonlocal steps
        steps += 1
        if dist.is_initialized() and dist.get_rank() == int(dies) and steps == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    numbers = json.loads(settings)
    learner: Trainee
    loss: TaskLoss
    precision = numbers.pop("precision", "float32")
    if numbers.pop("cross", False):
        learner = CrossEncoder.load(model, CrossSettings(precision=precision))
        loss = RerankingLossSettings()
    else:
        learner = TextEncoder.load(model, TextSettings(precision=precision))
        loss = LossSettings(learn_temperature=True)
    try:
        train(
            learner,
            Task(dataset=Dataset.open(Path(data)), loss=loss),
            Path(folder),
            Training(**numbers),
            Hooks(check=check, stop=stop),
        )
    except NearfarError as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
