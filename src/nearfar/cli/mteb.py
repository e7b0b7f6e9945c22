"""`nearfar mteb`: a dataset as a task of MTEB, and results as MTEB files them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nearfar.cli.options import DatasetFolder, Lexical, LexicalWeight, MaxTokens

if TYPE_CHECKING:
    from mteb.abstasks import AbsTaskRetrieval

    from nearfar.interop.mteb_results import Filed


def mteb(
    dataset: DatasetFolder,
    model: Annotated[str, typer.Argument(help="A folder, package:NAME, or the id of a model.")],
    folder: Annotated[Path, typer.Argument(help="Where `results` stands, or will stand.")],
    cohort: Annotated[
        list[str] | None,
        typer.Option(help="A field such as query.language: each value a subset; repeatable."),
    ] = None,
    rerank: Annotated[
        str | None, typer.Option(help="A cross-encoder that reads what the model finds.")
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="How many it reads, and returns. Default: 100.")
    ] = None,
    lexical: Lexical = False,
    lexical_weight: LexicalWeight = None,
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "test",
    name: Annotated[
        str | None, typer.Option(help="organisation/model. Default: made of the model's own.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Name of the task. Default: of the dataset's folder.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Of the texts, such as deu-Latn. Default: not said.")
    ] = None,
    max_tokens: MaxTokens = None,
) -> None:
    """Measure a model, or retrieve-then-rerank, under `mteb`; write its results layout."""
    from nearfar.cli.talking import bars
    from nearfar.data.dataset import Dataset
    from nearfar.errors import BadSetting
    from nearfar.interop.mteb_models import name_of, require_mteb
    from nearfar.interop.mteb_results import evaluate_under_mteb
    from nearfar.interop.mteb_search import NearfarSearch, Stages
    from nearfar.interop.mteb_task import UNKNOWN, Corpus, dataset_task
    from nearfar.model.rerankers import load_reranker
    from nearfar.model.text import TextEncoder, TextSettings

    if rerank is None and candidates is not None:
        raise BadSetting("--candidates is for a reranker. Name it with --rerank.")
    if lexical_weight is not None and not lexical:
        raise BadSetting("--lexical-weight is for words. Add --lexical.")
    if split not in ("train", "dev", "test"):
        raise BadSetting(f"--split must be train, dev or test, got {split!r}.")
    require_mteb()
    opened = Dataset.open(dataset)
    corpus = Corpus(opened)
    tasks = [
        dataset_task(
            opened,
            split=split,  # type: ignore[arg-type]  # held against the choices above
            cohort=field,
            name=task,
            language=language or UNKNOWN,
            corpus=corpus,
        )
        for field in (None, *(cohort or ()))
    ]
    encoder = TextEncoder.load(model, TextSettings(max_tokens=max_tokens))
    stages = Stages(
        reranker=None if rerank is None else load_reranker(rerank),
        candidates=100 if candidates is None else candidates,
        lexical=lexical,
        lexical_weight=lexical_weight,
    )
    called = name or name_of(model)
    if name is None and rerank is not None:
        called += f"+{name_of(rerank).split('/')[1]}"
    with bars() as progress:
        measured = NearfarSearch(encoder, called, stages, progress)
        filed = [evaluate_under_mteb(measured, one, folder) for one in tasks]
    for one, found in zip(tasks, filed, strict=True):
        show(one, found)


def show(task: "AbsTaskRetrieval", filed: "Filed") -> None:
    """Print what each subset of a task got, and where it is written."""
    from nearfar.interop.mteb_task import EVERYONE

    for subset, scores in filed.scores.items():
        of = "" if subset == EVERYONE else f" · {subset}"
        print(
            f"{task.metadata.name}{of}: nDCG@10 {scores['ndcg_at_10']:.4f}, "
            f"recall@100 {scores['recall_at_100']:.4f}"
        )
    print(f"results: {filed.path}")
