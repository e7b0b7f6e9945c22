"""`nearfar train`: the weights move."""

from pathlib import Path
from typing import Annotated

import typer

from nearfar.cli.options import Base, DatasetFolder, MaxTokens


def train(
    dataset: DatasetFolder,
    folder: Annotated[Path, typer.Argument(help="Where the run keeps all it makes.")],
    model: Base,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A setting of the recipe, such as training.epochs=2; repeatable."
        ),
    ] = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Fine-tune a model on the train split; called again, it goes on where it stopped.

    Several processes train one model together: `torchrun --nproc-per-node 2 -m nearfar train ...`
    """
    from nearfar.cli.talking import bars, say, stoppable
    from nearfar.data.dataset import Dataset
    from nearfar.model.precision import choose_device
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.pipeline.evaluating import dev_check
    from nearfar.pipeline.recipe import free_settings
    from nearfar.pipeline.run import best_of
    from nearfar.pipeline.tasks import tasks_of
    from nearfar.training import ranks
    from nearfar.training.train import Hooks
    from nearfar.training.train import train as run

    chosen = free_settings(settings or [])
    taught = Dataset.open(dataset)
    with ranks.together(choose_device()), bars() as progress, stoppable() as stop:
        encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
        hooks = Hooks(dev_check(taught, chosen.evaluation), progress, stop, progress.say)
        tasks = tasks_of(taught, chosen, Path())
        found = run(encoder, tasks, folder, chosen.training, hooks)
        if ranks.rank() > 0:  # the first process speaks for all
            return
    for role, count in found.truncated.items():
        if count:
            say(f"{count:,} {role} texts were cut at {encoder.tokens.max_tokens} tokens.")
    say(best_of(found.best_step, found.steps))
    print(found.model)
