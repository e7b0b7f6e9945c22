"""`nearfar run`: all stages of a recipe, skipping what is done."""

from pathlib import Path
from typing import Annotated

import typer


def run(
    recipe: Annotated[Path, typer.Argument(help="A TOML file.")],
    runs: Annotated[Path, typer.Option(help="Where the runs of all recipes live.")] = Path("runs"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting instead of the recipe's, such as training.seed=1."),
    ] = None,
) -> None:
    """Import, check, mine, train, evaluate, gate, index and search, as the recipe says.

    Exit code 3 or 4: the model did not pass the recipe's [policy], and got no index.
    """
    from nearfar.cli.evaluate import show_table
    from nearfar.cli.language_model import endpoint
    from nearfar.cli.search import show
    from nearfar.cli.talking import bars, stoppable
    from nearfar.evaluation.report import read_report
    from nearfar.pipeline.recipe import read_recipe
    from nearfar.pipeline.run import run as walk
    from nearfar.pipeline.talk import Talk

    chosen = read_recipe(recipe, settings or ())
    with bars() as progress:
        talk = Talk(progress.say, progress, stoppable, endpoint)
        found = walk(chosen, recipe_folder=recipe.parent, runs=runs, talk=talk)
    for question, hits in found.answers.items():
        show(question, hits)
    show_table(read_report(found.report))
    print(f"report: {found.home / 'report.html'}")
    print(f"model:  {found.home / 'model'}")
    if found.verdict is not None:
        print(f"gate:   {found.home / 'gate' / 'verdict.html'}")
        if found.verdict.exit_code:
            raise typer.Exit(found.verdict.exit_code)
    print(f"index:  {found.home / 'index'}")
    print(f'ask:    nearfar search "..." --index {found.home}/index --model {found.home}/model')
