"""Is the tuned model better than its base? The main job on real data, recipe by recipe.

    python bench/quality.py [RECIPE.toml ...] [--runs FOLDER]

Without a recipe: the quickstart's, and those of bench/recipes whose data lies beside the
checkout (the others are skipped, saying so). What is done already is not done again.
"""

import argparse
from pathlib import Path

from results import record

from nearfar.cli.talking import bars
from nearfar.errors import BadFile
from nearfar.evaluation.report import read_report
from nearfar.pipeline.recipe import read_recipe
from nearfar.pipeline.run import Talk, run

HERE = Path(__file__).resolve().parent
RECIPES = [HERE.parent / "recipes/python-docs.toml", *sorted((HERE / "recipes").glob("*.toml"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipes", nargs="*", type=Path, default=RECIPES)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    chosen = parser.parse_args()
    for path in map(Path.resolve, chosen.recipes):
        recipe = read_recipe(path)
        try:
            with bars() as progress:
                talk = Talk(progress.say, progress)
                finished = run(recipe, recipe_folder=path.parent, runs=chosen.runs, talk=talk)
        except BadFile as error:
            print(f"skipped {recipe.name}: {error}")
            continue
        report = read_report(finished.report)
        figures = []
        for name in ("ndcg_at_10_score", "recall_at_10_score", "mrr_at_10_score"):
            found = report.measure(name)
            assert found.tuned is not None
            change = found.difference
            assert change is not None
            for label, value in (("base", found.base), ("tuned", found.tuned)):
                figures.append(
                    {"measure": f"{recipe.name} {name} {label}", "value": round(value.mean, 4),
                     "unit": f"share, {value.n} queries"}
                )  # fmt: skip
            figures.append(
                {
                    "measure": f"{recipe.name} {name} difference",
                    "value": [round(number or 0.0, 4) for number in
                              (change.mean, change.low, change.high)],
                    "unit": f"mean and 95 % interval, {change.n} queries in "
                    f"{change.clusters} groups",
                    "target": "interval above 0",
                    "holds": change.above_zero,
                }
            )  # fmt: skip
            print(f"{recipe.name} {name}: {found.base.mean:.3f} -> {found.tuned.mean:.3f}, "
                  f"{change.mean:+.3f} [{change.low:+.3f}, {change.high:+.3f}]")  # fmt: skip
        record(
            "main-job",
            figures,
            command=f"python bench/quality.py {path.relative_to(HERE.parent)}",
            data=recipe.name,
        )


if __name__ == "__main__":
    main()
