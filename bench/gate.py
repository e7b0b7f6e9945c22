"""The gate on simulated releases: how often does it block wrongly, and pass what it must not?

    python bench/gate.py [--runs 500] [--quick]

Twelve cohorts of 20, 60, 200 or 600 queries each with nDCG-like values, one query a cluster. A run
is a candidate against a baseline, in one of three worlds:

    nothing changed    differences are noise of mean 0
    shifted            in one cohort many queries lose a little, 0.05 on average
    flipped            in one cohort 1 query in 20 falls from 1 to 0, the others do not move

Beside `nearfar.release.deciding.decide`, as it is, with a margin of 0.05 and its other defaults:

    raw threshold      block if any cohort's mean is below -0.02
    uncorrected        block if any cohort's one-sided t test has p <= 0.05; pass a cohort if the
                       lower bound of the t interval is above -0.05
    bootstrap          block if the upper end of any cohort's percentile interval is below 0; pass
                       a cohort if its lower end is above -0.05

And how often lower bounds that promise 95 % hold, where differences are noise, or few queries fall.
Figures land in bench/results/evidence.json, a picture in docs/pictures/gate.svg.
"""

import argparse
import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from measuring import Figures
from scipy import stats

from nearfar.evaluation.intervals import lower_bound
from nearfar.evaluation.scores import Scores
from nearfar.pictures import BASE, INK, TUNED, WRONG, svg
from nearfar.release.deciding import decide
from nearfar.release.policy import Change, Policy

Floats = npt.NDArray[np.float64]

FILE, METRIC = "evidence", "ndcg_at_10_score"
COHORTS, SIZES, LOST, MARGIN = 12, (20, 60, 200, 600), 0.05, 0.05
WORLDS = ("nothing changed", "shifted", "flipped")
PICTURE = Path(__file__).resolve().parents[1] / "docs/pictures/gate.svg"
POLICY = Policy(
    changes=(Change(metric=METRIC, margin=MARGIN, cohorts=("query.part",)),), resamples=2_000
)
_PLACES = np.r_[0.0, 1 / np.log2(np.arange(10, 0, -1) + 1)]  # nDCG@10 of one answer, from none to 1


def main(chosen: argparse.Namespace) -> None:
    runs = 20 if chosen.quick else chosen.runs
    figures = Figures(f"gate.py --runs {runs}", "simulated", not chosen.quick, file=FILE)
    found = {size: _released(size, runs) for size in SIZES}
    for size, counts in found.items():
        for (rule, what), share in sorted(counts.items()):
            ours = rule == "nearfar"
            bad = what in ("blocked, nothing changed", "lost cohort passed, shifted",
                           "lost cohort passed, flipped")  # fmt: skip
            target = "<= 0.05" if ours and bad else None
            holds = share <= _within(runs) if target else None
            figures.add(f"{COHORTS} cohorts of {size}: {what}: {rule}", share, "share of runs",
                        target, holds, runs=runs)  # fmt: skip
    covered = _covered(20 if chosen.quick else 4 * chosen.runs)
    for (world, size, method), share in covered.items():
        target = ">= 0.94" if method == "nearfar" else None
        holds = share >= 0.95 - (0.01 + _within(4 * runs) - 0.05) if target else None
        figures.add(f"lower bound of 95 %, {world}, {size} queries: holds: {method}", share,
                    "share of runs", target, holds, runs=4 * runs)  # fmt: skip
    figures.write()
    if not chosen.quick:
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        PICTURE.write_text(_picture(found), encoding="utf-8")


def _within(runs: int) -> float:
    """Return what a share of 5 % stays within, 97.5 times of 100, by chance of so few runs."""
    return float(stats.binom.ppf(0.975, runs, 0.05) / runs)


def _released(size: int, runs: int) -> dict[tuple[str, str], float]:
    """Return how often each rule blocks, and passes the cohort that lost."""
    counts: Counter[tuple[str, str]] = Counter()
    for world in WORLDS:
        dice = np.random.default_rng([size, WORLDS.index(world)])
        for _ in range(runs):
            was, now = _pair(size, world, dice)
            for rule, judge in _RULES.items():
                blocked, passed = judge(was, now)
                counts[rule, f"blocked, {world}"] += blocked
                if world != "nothing changed":
                    counts[rule, f"lost cohort passed, {world}"] += passed[0]
                else:
                    counts[rule, f"released, {world}"] += not blocked and all(passed)
    shares = defaultdict(float, {key: count / runs for key, count in counts.items()})
    print(f"  cohorts of {size}: done", flush=True)
    return shares


def _pair(size: int, world: str, dice: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the values (cohorts, queries) of a baseline and of a candidate."""
    shape = (COHORTS, size)
    places = dice.choice(11, shape, p=[0.25, *[0.03] * 9, 0.48])
    now = places.copy()
    moved = dice.random(shape) < 0.12  # differences then deviate by about 0.2
    # As many move up as down, and as far: mean 0.
    now[moved] = dice.permutation(places[moved])
    if world == "shifted":
        now[0] = _lowered(places[0], now[0], dice)
    elif world == "flipped":
        now[0] = np.where(dice.random(size) < LOST, 0, 10)
        places[0] = 10
    return _PLACES[places], _PLACES[now]


def _lowered(places: Any, now: Any, dice: np.random.Generator) -> Any:
    """Return places that fell by one or two for many queries: 0.05 of nDCG on average."""
    top = now == 10
    share = LOST / max((_PLACES[10] - _PLACES[9]) * top.mean(), 1e-9)
    return np.where(top & (dice.random(len(now)) < share), 9, now)


def _ours(was: Floats, now: Floats) -> tuple[bool, list[bool]]:
    verdict = decide(POLICY, _scores("new", now), _scores("old", was), today=dt.date.today())
    outcomes = {found.cohort: found.outcome for found in verdict.findings}
    parts = [outcomes[f"query.part = {part:02}"] for part in range(COHORTS)]
    return verdict.outcome == "REGRESSION", [one == "PASS" for one in parts]


def _scores(system: str, values: Floats) -> Scores:
    ids = tuple(map(str, range(values.size)))
    parts = tuple(f"{part:02}" for part in range(COHORTS) for _ in range(values.shape[1]))
    return Scores(
        system=system, space=None, dataset="simulated", split="test", documents=1, queries=ids,
        clusters=ids, cohorts={"query.part": parts}, values={METRIC: values.ravel()},
    )  # fmt: skip


def _raw(was: Floats, now: Floats) -> tuple[bool, list[bool]]:
    means = (now - was).mean(1)
    return bool((means < -0.02).any()), (means >= -0.02).tolist()


def _uncorrected(was: Floats, now: Floats) -> tuple[bool, list[bool]]:
    low, high = _students(now - was), -_students(was - now)
    return bool((high < 0).any()), (low > -MARGIN).tolist()


def _students(differences: Floats) -> Floats:
    """Return the lower bound of each row."""
    n = differences.shape[-1]
    spread = differences.std(-1, ddof=1) / np.sqrt(n)
    found: Floats = differences.mean(-1) - stats.t.ppf(0.95, n - 1) * spread
    return found


def _bootstrap(was: Floats, now: Floats) -> tuple[bool, list[bool]]:
    low, high = _percentiles(now - was)
    return bool((high < 0).any()), (low > -MARGIN).tolist()


def _percentiles(differences: Floats, resamples: int = 400) -> tuple[Floats, Floats]:
    """Return the 5 and the 95 per cent point of resampled means of each row."""
    n = differences.shape[-1]
    dice = np.random.default_rng(0)
    counts = dice.multinomial(n, np.full(n, 1 / n), size=resamples)  # (B, n)
    means = differences @ counts.T / n
    low, high = np.quantile(means, [0.05, 0.95], axis=-1)
    return low, high


_RULES: dict[str, Callable[[Floats, Floats], tuple[bool, list[bool]]]] = {
    "nearfar": _ours, "raw threshold": _raw, "uncorrected": _uncorrected, "bootstrap": _bootstrap,
}  # fmt: skip


def _covered(runs: int) -> dict[tuple[str, int, str], float]:
    """Return how often bounds that promise 95 % lie below the truth."""
    found: dict[tuple[str, int, str], float] = {}
    for world, mean, draw in (
        ("2 in 100 fall", -0.02, lambda dice, n: -(dice.random(n) < 0.02).astype(float)),
        ("5 in 100 fall", -0.05, lambda dice, n: -(dice.random(n) < 0.05).astype(float)),
        ("noise of 0.2", 0.0, lambda dice, n: dice.normal(0, 0.2, n).clip(-1, 1)),
    ):
        for size in (20, 50, 200, 600):
            dice = np.random.default_rng(size)
            held: Counter[str] = Counter()
            for _ in range(runs):
                values = draw(dice, size)
                bounds = {
                    "nearfar": lower_bound(values, np.arange(size), least=-1),
                    "Student's t": float(_students(values)),
                    "percentile bootstrap": float(_percentiles(values[None])[0][0]),
                }
                held.update(name for name, bound in bounds.items() if bound <= mean + 1e-12)
            for name in ("nearfar", "Student's t", "percentile bootstrap"):
                found[world, size, name] = held[name] / runs
    return found


def _picture(found: dict[int, dict[tuple[str, str], float]]) -> str:
    """Draw, by size of cohorts, how often each rule is wrong."""
    colours = {"nearfar": TUNED, "raw threshold": WRONG, "uncorrected": BASE, "bootstrap": INK}

    def draw(axes: Sequence[Axes]) -> None:
        for ax, (what, title) in zip(axes, (
            ("blocked, nothing changed", "Blocks though nothing changed"),
            ("lost cohort passed, flipped", "Passes a cohort that lost 0.05"),
        ), strict=True):  # fmt: skip
            for rule, colour in colours.items():
                shares = [100 * found[size][rule, what] for size in SIZES]
                ax.plot(range(len(SIZES)), shares, marker="o", color=colour, label=rule)
            ax.axhline(5, color=INK, linewidth=0.8, linestyle="--")
            ax.set_xticks(range(len(SIZES)), [f"{size}" for size in SIZES])
            ax.set(title=title, xlabel="queries of each of 12 cohorts", ylabel="% of runs")
        axes[1].legend()

    return svg(draw, columns=2, height=3.4)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--quick", action="store_true", help="try it; keep no figures")
    main(parser.parse_args())
