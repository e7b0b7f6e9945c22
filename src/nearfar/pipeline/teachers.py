"""Who scores for a recipe: the cross-encoder it trained, others, a language model, or several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from nearfar.errors import BadSetting
from nearfar.llm.telling import bill
from nearfar.model.calibration import Calibration
from nearfar.model.cross_encoder import CrossSettings
from nearfar.model.locate import called, locate
from nearfar.model.reranker import Reranker
from nearfar.model.rerankers import load_reranker
from nearfar.pipeline.learning import calibration_beside
from nearfar.pipeline.recipe import Distillation
from nearfar.pipeline.talk import Talk
from nearfar.teaching.llm_judge import LlmJudge, judge_of, open_judge
from nearfar.teaching.questions import Judging, Questioner


@dataclass(slots=True)
class Teachers:
    """Those that score, in their order; a language model, the last, is asked only when open."""

    rerankers: list[Reranker] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)  # what people call them, by fingerprint
    calibration: Calibration | None = None  # of the only one
    judging: Judging | None = None

    @property
    def fingerprints(self) -> list[str]:
        """Name everything that moves a score."""
        found = [one.fingerprint for one in self.rerankers]
        if self.judging is not None:
            found.append(judge_of(Questioner(self.judging, None, None)).fingerprint)
        return found

    @contextmanager
    def ready(
        self, journal: Path, talk: Talk, stop: Callable[[], bool]
    ) -> Iterator[list[Reranker]]:
        """Yield all of them; at the end, whatever that is, say what a language model cost.

        Args:
            journal: of paid answers; what was spent before counts against the limit.
            talk: has the way to a language model.
            stop: ends the asking once it is True.

        Raises:
            BadSetting: the limit of dollars left questions open. What scored so far is no
                finished stage; with a higher limit the same recipe goes on.
        """
        if self.judging is None:
            yield list(self.rerankers)
            return
        with ExitStack() as stack:
            endpoint = stack.enter_context(talk.endpoint(self.judging.llm))
            opened = open_judge(self.judging, endpoint, journal, progress=talk.progress, stop=stop)
            judge = stack.enter_context(opened)
            try:
                yield [*self.rerankers, judge]
            finally:
                for sentence in _told(judge):
                    talk.say(sentence)
            if judge.questioner.limit_reached:
                raise BadSetting(
                    f"The limit of {self.judging.llm.limit_usd} dollars is reached and "
                    f"{judge.questioner.states['open']:,} questions are open. Raise "
                    "distillation.judge.llm.limit_usd, or ask less (distillation.teaching.depth, "
                    "distillation.judge.repeats): the same recipe goes on, and pays nothing twice."
                )


def load_teachers(
    rerankers: Sequence[tuple[str, CrossSettings | None]],
    judging: Judging | None,
    say: Callable[[str], None],
) -> Teachers:
    """Load those that score.

    Args:
        rerankers: a folder, `package:NAME` or id on the hub each, and what shall differ of it.
        judging: how a language model is asked that scores too, if one does.
        say: told where a calibration is not used.

    Raises:
        BadModel: one of them cannot be loaded.
    """
    found = Teachers(judging=judging)
    for name, settings in rerankers:
        revision = None if settings is None else settings.revision
        one = load_reranker(name, settings)
        found.rerankers.append(one)
        found.names[one.fingerprint] = called(name, revision=revision)
        if len(rerankers) == 1 and judging is None:
            found.calibration = calibration_beside(locate(name, revision=revision), one, say)
    return found


def require_reachable(chosen: Distillation, talk: Talk) -> None:
    """Find out before anything is trained whether the teachers that are to be there are.

    Raises:
        BadModel: there is no such model.
        BadSetting: a language model needs a key, or an SDK.
    """
    for one in chosen.rerankers:
        locate(one.base, revision=one.revision)
    if chosen.judge is not None:
        with talk.endpoint(chosen.judge.llm):
            pass


def _told(judge: LlmJudge) -> Iterator[str]:
    """Yield what is to be known of a language model's part, a sentence each."""
    asked = judge.questioner
    for state in ("refused", "malformed"):
        if count := asked.states[state]:
            yield f"set aside: {count:,} questions {state}"
    if asked.failed:
        yield f"{asked.failed:,} questions got no answer. The last problem: {asked.last_failure}"
    if (itself := judge.ratings.sentence) is not None:
        yield itself
    kept, llm = asked.journal, asked.judging.llm
    assert kept is not None
    if lost := kept.lost_now.answers:
        yield f"{lost:,} requests got lost on the way; they may be billed, and count as spent."
    now, before = kept.now.total_usd(llm), kept.before.total_usd(llm)
    yield bill(kept.now, None if now is None or before is None else now + before, llm)
