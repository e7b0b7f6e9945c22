"""What `nearfar teach` says: before anything is scored, and after."""

from pathlib import Path
from typing import TYPE_CHECKING

from nearfar.cli.language_model import troubles
from nearfar.cli.talking import say

if TYPE_CHECKING:
    from nearfar.data.dataset import Dataset
    from nearfar.llm.settings import LlmSettings
    from nearfar.teaching.llm_judge import LlmJudge
    from nearfar.teaching.opening import Run
    from nearfar.teaching.settings import Teaching
    from nearfar.teaching.teach import TeachingSummary


def say_estimate(
    dataset: "Dataset", folder: Path, settings: "Teaching", run: "Run", judge: "LlmJudge | None"
) -> None:
    """Say what would be scored, and what a language model would cost."""
    from nearfar.teaching.opening import preview

    queries, pairs, found = preview(judge, dataset, folder, settings, run)
    if judge is None:
        print(f"{pairs:,} pairs of {queries:,} queries would be scored.")
        return
    llm = judge.questioner.judging.llm
    how = "bounded by one for each byte; English has about a quarter of that"
    if found.counted:
        how = "counted by the server of the model"
        if found.sampled:
            how = (f"about: {found.sampled:,} of {found.messages:,} different messages, chosen by "
                   f"dice, were {how}")  # fmt: skip
    say(f"pairs: {pairs:,} of {queries:,} queries")
    if judge.questioner.shortened:
        say(_shortened(len(judge.questioner.shortened)))
    say(f"answers paid for already: {found.answered:,}")
    say(f"input tokens: {found.input_tokens:,}, {how}")
    say(f"output tokens: at most {found.output_tokens:,}, {llm.max_tokens:,} an answer")
    cost = llm.cost_usd(found.input_tokens, found.output_tokens)
    most = llm.cost_usd(found.most_input_tokens, found.most_output_tokens)
    if cost is None or most is None:
        print(f"{found.requests:,} requests; price unknown: give --input-price and --output-price.")
        return
    at_most = "about" if found.sampled else "at most"
    print(
        f"{found.requests:,} requests, {at_most} {cost:,.4f} dollars; {most:,.4f} if every answer "
        "were malformed and asked for again."
    )


def _shortened(count: int) -> str:
    return f"cut at their limit of characters: {count:,} documents, of which the rest is not judged"


def say_summary(found: "TeachingSummary", least: float | None) -> None:
    """Say what was scored, what became of it, and what is amiss."""
    if found.documents_kept_back:
        say(f"left out: {found.documents_kept_back:,} documents of dev or test")
    if found.left:
        say(f"left as they are: {found.left:,} judgments of pairs that dev or test measures")
    if found.kept:
        say(f"kept with their score of before: {found.kept:,} judgments")
    if found.unscored:
        say(f"without a score: {found.unscored:,} pairs")
    if found.infinite:
        say(f"infinite, as where a number is too large for float16: {found.infinite:,} scores")
    if found.shortened:
        say(_shortened(found.shortened))
    say(f"scored by this run: {found.new_scores:,}; the others were kept from before"
        if found.new_scores else "scored by this run: none on this machine")  # fmt: skip
    for what, count in found.became.items():
        if count:
            say(f"{what}: {count:,}")
    if found.scale is not None:
        say(f"probability: 1 / (1 + exp(-({found.scale.slope:.3g} score + {found.scale.offset:.3g})"
            f")), by the {found.scale.fitted_on}")  # fmt: skip
    if (worry := found.worry()) is not None:
        say(worry)
    if found.agreement is not None:
        say(found.agreement.sentence(least))
    else:
        say("People have judged too few of these pairs to hold the teacher against.")


def say_bill(judge: "LlmJudge") -> str:
    """Say what became of the questions, and return what they cost."""
    from nearfar.llm.telling import bill

    asked = judge.questioner
    llm: LlmSettings = asked.judging.llm
    assert asked.journal is not None
    for state in ("refused", "malformed"):
        if asked.states[state]:
            say(f"set aside: {asked.states[state]:,} questions {state}")
    if (itself := judge.ratings.sentence) is not None:
        say(itself)
    kept = asked.journal
    lost = kept.lost_now.answers, kept.lost_now.total_usd(llm)
    for sentence in troubles(asked, "questions", llm, lost, kept.now.uncounted):
        say(sentence)
    now, before = kept.now.total_usd(llm), kept.before.total_usd(llm)
    return bill(kept.now, None if now is None or before is None else now + before, llm)
