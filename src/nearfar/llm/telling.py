"""What was used of a language model and what it cost, in words."""

from nearfar.llm.journal import Bill
from nearfar.llm.settings import LlmSettings


def bill(now: Bill, whole_usd: float | None, llm: LlmSettings) -> str:
    """Return in one sentence what a run used and what it cost.

    Args:
        now: of this run.
        whole_usd: what the journal cost with the runs before; None: unknown.
        llm: whose prices count.
    """
    tokens = (
        f"{now.answers:,} answers with {now.input_tokens:,} input and {now.output_tokens:,} "
        "output tokens"
    )
    usd = now.total_usd(llm)
    if usd is None:
        return f"This run: {tokens}, price unknown."
    whole = "" if whole_usd is None else f", {whole_usd:,.4f} with those before"
    return f"This run: {tokens}, {usd:,.4f} dollars{whole}."
