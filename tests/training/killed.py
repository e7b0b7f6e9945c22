"""Run by a test in a process of its own: train, and die without warning at a given step."""

import os
import signal
import sys
from pathlib import Path

import torch

from nearfar.data.dataset import Dataset
from nearfar.model.text import TextEncoder, TextSettings
from nearfar.training.course import Task
from nearfar.training.settings import Training
from nearfar.training.train import Hooks, train


def main(bert: str, data: str, folder: str, last: str) -> None:
    torch.set_num_threads(1)  # as the test has: rounding depends on it

    def die(what: str, done: int, total: int | None, note: str = "") -> None:
        if what == "training" and done == int(last):
            os.kill(os.getpid(), signal.SIGKILL)

    train(
        TextEncoder.load(bert, TextSettings(precision="float32")),
        Task(dataset=Dataset.open(Path(data))),
        Path(folder),
        Training(pairs_per_step=8, epochs=3, checks=4, dropout=0.1, learning_rate=1e-3),
        Hooks(progress=die),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
