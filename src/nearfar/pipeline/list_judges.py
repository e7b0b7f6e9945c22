"""Who judges lists of documents: a reranker that is calibrated, or a language model.

Shapes: N documents of one query.
"""

import math
from collections.abc import Callable, Sequence

from nearfar.data.dataset import Dataset
from nearfar.errors import BadRecord, BadSetting
from nearfar.evaluation.relevance import Judge, reranker_judge
from nearfar.evaluation.relevance_task import ListJudging
from nearfar.evaluation.settings import Evaluation
from nearfar.model.locate import called, locate
from nearfar.model.rerankers import load_reranker
from nearfar.pipeline.dev_pairs import read_dev_pairs
from nearfar.pipeline.learning import calibration_beside
from nearfar.teaching.prompts import HIGHEST, RUBRIC
from nearfar.teaching.questions import Question, Questioner


def judging_reranker(
    name: str, dataset: Dataset, settings: Evaluation, say: Callable[[str], None]
) -> ListJudging:
    """Return a cross-encoder as the judge of lists, by the probability that a document answers.

    The probability is that of the calibration in its folder; without one it is fitted on dev.

    Args:
        name: a folder, `package:NAME` or id on the hub.
        dataset: whose dev split calibrates.
        settings: how much of dev.
        say: told where the calibration in the folder is not used.

    Raises:
        BadModel: it cannot be loaded.
        BadRecord: it has no calibration, and dev has no pairs to fit one on.
    """
    reranker = load_reranker(name)
    calibration = calibration_beside(locate(name), reranker, say)
    how = "its own"
    if calibration is None:
        pairs = read_dev_pairs(dataset, settings)
        if pairs is None:
            raise BadRecord(
                f"{dataset.folder}: expected a dev split to calibrate the reranker {name} on, as "
                "it has no calibration.json, found none. Import again with --dev, or train it "
                "with `nearfar train --cross-encoder`, which calibrates."
            )
        calibration, how = pairs.calibration(reranker), "fitted on dev"
    facts = {"judge": called(name), "fingerprint": reranker.fingerprint, "calibration": how}
    return ListJudging(judge=reranker_judge(reranker, calibration), facts=facts)


def judging_llm(questioner: Questioner) -> ListJudging:
    """Return a language model as the judge of lists: grades 0 to 3, a third of them each.

    It reads one document at a time, so their order counts for nothing, and is asked anew in each
    repeat. What it refuses, or never answers as it should, is passed over.
    """
    facts = {"judge": questioner.judging.llm.model, "prompt": RUBRIC.hash}
    return ListJudging(judge=_grades(questioner), facts=facts)


def _grades(questioner: Questioner) -> Judge:
    def judge(query: str, documents: Sequence[str], repeat: int) -> list[float]:
        put = [
            Question(RUBRIC, query, (questioner.cut(text),), repeat, questioner.judging)
            for text in documents
        ]
        answers = questioner.answers(put)
        if questioner.limit_reached and None in answers:
            raise BadSetting(
                f"The limit of {questioner.judging.llm.limit_usd} dollars is reached, and "
                "documents are not judged yet. Raise --limit-usd, or ask less (--queries, "
                "--depth, --repeats): the same command goes on, and pays nothing twice."
            )
        return [math.nan if one is None else one[0] / HIGHEST for one in answers]

    return judge
