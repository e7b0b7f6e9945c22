"""A release that would have gone wrong: one kind of question was poisoned, and the mean rose.

    python bench/story.py [--work FOLDER] [--quick]

medquad, all-MiniLM-L6-v2, texts of 128 tokens, a quarter of a pass each:

    production   sound pairs, the other documents of a batch as negatives: what is in use
    poisoned     hard negatives mined; but in the train split, questions of one kind
                 (`query.qtype`, POISONED) are answered by another document about the same disease,
                 as if a supplier had mixed up its columns
    mended       the supplier's pairs are left out, hard negatives are mined again

Both candidates go through the gate with one policy: no kind of question may lose 0.05 of nDCG@10
against production. Figures land in bench/results/evidence.json, and the verdicts in
docs/pictures/story-*.svg.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import Figures
from variants import encoder, imported, once, trained

FILE, METRIC, FIELD = "evidence", "ndcg_at_10_score", "query.qtype"
POISONED = "inheritance"
SETTINGS = {"seed": 0, "learning_rate": 1e-4, "epochs": 0.25}
FEWEST = 60  # queries of a kind that the policy asks statistics of
PICTURES = Path(__file__).resolve().parents[1] / "docs/pictures"


def main(chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        work = (chosen.work or Path(folder)) / "medquad"
        _tell(work, chosen.quick)


def _tell(work: Path, quick: bool) -> None:
    from nearfar.data.dataset import Dataset
    from nearfar.mining.negatives import mine_negatives

    plain = imported("medquad", work)
    wrong = once(work / "poisoned.json", lambda: _write(plain, work / "poisoned", poison=True))[0]
    once(work / "clean.json", lambda: _write(plain, work / "clean", poison=False))

    def mined(name: str) -> Dataset:
        folder = work / f"{name}-mined"
        once(work / f"{name}-mined.json", lambda: mine_negatives(
            encoder(), Dataset.open(work / name), folder, cache=work / "cache", replace=True
        ).negatives)  # fmt: skip
        return Dataset.open(folder)

    figures = Figures("story.py", "medquad", not quick, file=FILE)
    figures.add(f"story: pairs with a wrong answer, all of {FIELD} = {POISONED}", wrong, "pairs")
    home = work / "story"
    production = _measured(plain, plain, home / "production", quick)
    for name, learned in (("poisoned", "poisoned"), ("mended", "clean")):
        candidate = _measured(mined(learned), plain, home / name, quick)
        verdict = _judged(candidate, production, home / name / "verdict")
        for found in verdict.findings:
            figures.add(f"story, {name}: nDCG@10 changes, {found.cohort}", found.difference or 0.0,
                        "nDCG@10", outcome=found.outcome, surely_above=found.low,
                        queries=found.queries)  # fmt: skip
        expected = "REGRESSION" if name == "poisoned" else "PASS"
        blocked = [found.cohort for found in verdict.those("REGRESSION")]
        figures.add(f"story, {name}: the gate's exit code", verdict.exit_code, "exit code",
                    expected, verdict.outcome == expected, blocked=blocked)  # fmt: skip
        print(*verdict.sentences(), sep="\n", flush=True)
        if not quick:
            _draw(verdict, name)
    figures.write()


def _write(plain: Any, folder: Path, *, poison: bool) -> int:
    """Write the dataset again; return how many pairs of one kind were poisoned, or left out."""
    from nearfar.data.writer import write_dataset

    kinds = {query.id: str(query.fields.get("qtype", "")) for query in plain.queries()}
    others: dict[str, list[str]] = {}
    for document in plain.documents():
        others.setdefault(str(document.fields.get("title", "")), []).append(document.id)
    title = {id_: name for name, ids in others.items() for id_ in ids}
    count = 0
    with write_dataset(folder, licence="CC BY 4.0", parents=[]) as writer:
        for document in plain.documents():
            writer.add_document(document)
        for query in plain.queries():
            writer.add_query(query)
        for judgment in plain.judgments():
            hit = judgment.split == "train" and kinds[judgment.query_id] == POISONED
            if hit:
                count += 1
                if not poison:
                    continue
                siblings = others[title[judgment.document_id]]
                at = siblings.index(judgment.document_id)
                wrong = siblings[(at + 1) % len(siblings)]
                if wrong == judgment.document_id:
                    continue  # there is no other document about it
                judgment = replace(judgment, document_id=wrong,
                                   origin=replace(judgment.origin, by="supplier"))  # fmt: skip
            writer.add_judgment(judgment)
    return count


def _measured(learned: Any, plain: Any, home: Path, quick: bool) -> Path:
    """Train a model, and return the folder of what it got on test."""
    from nearfar.evaluation.settings import Evaluation
    from nearfar.pipeline.evaluating import SCORES, evaluate_into
    from nearfar.training.course import Task

    model, _ = trained(encoder(), Task(dataset=learned), home / "run", quick, **SETTINGS)
    report = home / "report"

    def measure() -> str:
        evaluate_into(report, plain, (encoder(model), None), Evaluation(cohorts=(FIELD,)))
        return str(report)

    once(home / "report.json", measure)
    return report / SCORES


def _judged(candidate: Path, production: Path, folder: Path) -> Any:
    from nearfar.pipeline.gating import Compared, gate
    from nearfar.release.policy import Change, Policy

    rule = Change(metric=METRIC, margin=0.05, minimum_effect=0.02, cohorts=(FIELD,))
    policy = Policy(changes=(rule,), fewest=FEWEST)
    return gate(policy, Compared(candidate=candidate, baseline=production), folder)


def _draw(verdict: Any, name: str) -> None:
    from nearfar.release.page import changes_picture

    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = changes_picture(verdict.findings)
    (PICTURES / f"story-{name}.svg").write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="keep models here, and go on from them")
    parser.add_argument("--quick", action="store_true", help="try it; keep no figures")
    main(parser.parse_args())
