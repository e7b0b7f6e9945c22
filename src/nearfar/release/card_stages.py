"""What a card says of a reranker: what both stages reach, what it costs, and what is not known."""

from collections.abc import Iterator

from nearfar.evaluation.measure import SHORT_NAMES, span
from nearfar.evaluation.report import Report
from nearfar.evaluation.stages import Depth, milliseconds, told_of_stages
from nearfar.release.admission import measured_depth
from nearfar.release.card_results import (
    ELSEWHERE,
    KEY,
    measured_on,
    report_limits,
    verdict_limits,
)
from nearfar.release.markdown import code, plain, table
from nearfar.release.subject import Reads
from nearfar.release.two_stages import Stages
from nearfar.release.verdict import Verdict


def stages_results(report: Report | None, verdict: Verdict, stages: Stages) -> Iterator[str]:
    """Yield what both stages reach together, beside retrieval alone, and by candidates read."""
    yield measured_on(report, verdict)
    yield ""
    if report is None or report.reranking is None:
        yield "There was no report: means are those of the verdict below, without intervals."
        return
    depth = measured_depth(report, verdict, stages)
    heads = ("measure", ">queries", ">retrieval alone", ">reranked", ">change")
    yield from table(heads, (
        [plain(SHORT_NAMES.get(one.name, one.name)), f"{one.base.n:,}", span(one.base),
         span(one.tuned), span(one.difference, sign=True)]
        for one in depth.measures
    ))  # fmt: skip
    yield ""
    yield "By the number of candidates that are read:"
    yield ""
    heads = (">read", ">answers among them", ">nDCG@10 at best", ">nDCG@10", ">milliseconds")
    found = report.reranking
    yield from table(heads, (_read(found.at(count)) for count in found.asked))
    yield ""
    yield from (f"- {plain(sentence)}" for sentence in told_of_stages(found))


def stages_limits(report: Report | None, verdict: Verdict, reads: Reads) -> Iterator[str]:
    """Yield what the numbers above do not say."""
    stages = reads.stages
    yield ELSEWHERE
    yield (
        f"- Of a query and a document together {reads.max_tokens} tokens are read; what does not "
        "fit is cut."
    )
    yield (
        "- It was judged behind the encoder of the space "
        f"{code(stages.encoder.fingerprint)}, with {stages.candidates:,} candidates of each query: "
        "nothing is known of it behind another, and what is not among the candidates it never sees."
    )
    yield from verdict_limits(verdict)
    if report is None:
        yield "- There was no report: no interval of the means, and no time that it takes."
        return
    yield "- Times are those of the machine that measured."
    yield from report_limits(report)


def _read(depth: Depth) -> list[str]:
    ndcg = depth.measure(KEY).tuned
    return [f"{depth.candidates:,}", span(depth.recall), span(depth.ceiling), span(ndcg),
            milliseconds(depth.reranking)]  # fmt: skip
