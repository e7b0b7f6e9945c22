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
    cross_encoder: Annotated[
        bool,
        typer.Option("--cross-encoder", help="Train a reranker: query and document together."),
    ] = False,
    template: Annotated[
        str | None,
        typer.Option(
            help="What a language model is asked: plain, qwen3, or a text that holds {query} and "
            "{document} and ends where the answer stands."
        ),
    ] = None,
    words: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="YES NO", help="What it answers, in words of one token each."),
    ] = None,
) -> None:
    """Fine-tune a model on the train split; called again, it goes on where it stopped.

    With --cross-encoder an encoder gets a new head, a cross-encoder is trained further, and a
    language model is asked whether the document answers the query, yes or no. The negatives are
    judged ones (`nearfar mine`), four a query, or else documents of other queries.

    Several processes train one model together: `torchrun --nproc-per-node 2 -m nearfar train ...`
    """
    from nearfar.cli.talking import bars, say, stoppable
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting
    from nearfar.model.locate import called
    from nearfar.model.precision import choose_device
    from nearfar.model.rerankers import RerankerSettings, load_reranker
    from nearfar.model.text import TextEncoder, TextSettings
    from nearfar.pipeline.learning import learn, learn_to_rerank
    from nearfar.pipeline.recipe import free_settings
    from nearfar.pipeline.talk import best_of
    from nearfar.training import ranks
    from nearfar.training.train import Hooks

    _require_own_loss(settings or [], cross_encoder)
    if not cross_encoder and (template or words):
        raise BadSetting("--template and --words are of rerankers. Add --cross-encoder.")
    chosen = free_settings(settings or [])
    taught = Dataset.open(dataset)
    with ranks.together(choose_device()), bars() as progress, stoppable() as stop:
        hooks = Hooks(progress=progress, stop=stop, say=progress.say, base=called(model))
        if cross_encoder:
            yes, no = words or (None, None)
            fresh = RerankerSettings(
                max_tokens=max_tokens, new_head=None, seed=chosen.training.seed,
                template=template, yes=yes, no=no,
            )  # fmt: skip
            found = learn_to_rerank(load_reranker(model, fresh), taught, folder, chosen, hooks)
        else:
            encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
            found = learn(encoder, taught, folder, chosen, hooks)
        if ranks.rank() > 0:  # the first process speaks for all
            return
    for role, count in found.truncated.items():
        if count:
            say(f"{count:,} {role} texts were cut at the model's length.")
    say(best_of(found.best_step, found.steps))
    print(found.model)


def _require_own_loss(settings: list[str], cross_encoder: bool) -> None:
    """Raise BadSetting where a loss is set that would not be learned by."""
    from nearfar.errors import BadSetting

    other, own = ("loss.", "reranking_loss.") if cross_encoder else ("reranking_loss.", "loss.")
    for setting in settings:
        if setting.strip().startswith(other):
            kind = "a cross-encoder" if cross_encoder else "an encoder"
            raise BadSetting(
                f"--set {setting}: {kind} learns by {own[:-1]}, so this would change nothing. Set "
                f"{own}{setting.strip().removeprefix(other)}"
                f"{'' if cross_encoder else ', or add --cross-encoder'}."
            )
