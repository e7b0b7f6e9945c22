"""What a synthesis depends on: who writes, for which passages, and what is kept."""

from dataclasses import dataclass, field
from typing import Literal

from nearfar.errors import BadSetting, require
from nearfar.llm.settings import LlmSettings
from nearfar.synthesis.prompts import STYLES

Writer = Literal["llm", "titles", "headings", "keywords"]

WRITERS: tuple[Writer, ...] = ("llm", "titles", "headings", "keywords")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which written queries are kept. None turns a rule off."""

    rank: int | None = 10  # round trip: the query's document is among so many nearest
    near_duplicate_cosine: float | None = 0.95  # to another query of its document
    measured_cosine: float | None = 0.95  # to a query of dev or test: it would be a leak
    copied_share: float | None = 0.8  # of a query, found in one piece in its passage; LLM only
    copied_characters: int = 30  # shorter queries may be copies: keywords are
    shortest_characters: int = 3
    longest_characters: int = 600

    def __post_init__(self) -> None:
        require(self.rank is None or self.rank >= 1, "filters.rank", "1 or more", self.rank)
        for name in ("near_duplicate_cosine", "measured_cosine", "copied_share"):
            found = getattr(self, name)
            require(found is None or 0 < found <= 1, f"filters.{name}", "above 0, up to 1", found)
        for name in ("copied_characters", "shortest_characters"):
            require(getattr(self, name) >= 1, f"filters.{name}", "1 or more", getattr(self, name))
        require(self.longest_characters >= self.shortest_characters, "filters.longest_characters",
                 f"{self.shortest_characters} or more", self.longest_characters)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthesis:
    """How queries are written for documents that have none."""

    writer: Writer = "llm"
    llm: LlmSettings | None = None  # needed by the writer "llm", and by no other
    styles: tuple[str, ...] = ("question", "keyword")  # see `prompts.STYLES`
    language: str = ""  # what the style "language" is written in, such as "German"
    queries: int = 3  # per passage and style; the writers without an LLM write one
    examples: int = 5  # of the team's own train queries that the LLM is shown
    documents: int | None = None  # at most so many, chosen by the seed; None: all
    fewer_than: int = 1  # written for are documents with fewer queries of train than that
    characters_per_passage: int = 8_000  # longer documents are cut between words
    passages_per_document: int = 1  # the first ones; encoders read the beginning too
    malformed_retries: int = 2  # an answer that is no list of queries is asked for again
    title_field: str = "title"  # of documents, for the writer "titles"
    keywords: int = 6  # in a query of the writer "keywords"
    grade: float = 1.0  # of the judgments
    seed: int = 0
    filters: Filters = field(default_factory=Filters)

    def __post_init__(self) -> None:
        require(self.writer in WRITERS, "synthesis.writer", f"one of {', '.join(WRITERS)}",
                 self.writer)  # fmt: skip
        if (self.writer == "llm") != (self.llm is not None):
            raise BadSetting(
                "synthesis.llm must name a model for the writer 'llm', and no other writer "
                f"uses one; got the writer {self.writer!r} and {self.llm!r}."
            )
        for style in self.styles:
            require(style in STYLES, "synthesis.styles", f"of {', '.join(STYLES)}", style)
        require(bool(self.styles) and len(set(self.styles)) == len(self.styles),
                 "synthesis.styles", "one or more, each once", self.styles)  # fmt: skip
        require(bool(self.language) or "language" not in self.styles, "synthesis.language",
                 "named for the style 'language', such as German", self.language)  # fmt: skip
        for name in ("queries", "fewer_than", "passages_per_document", "keywords"):
            require(getattr(self, name) >= 1, f"synthesis.{name}", "1 or more",
                     getattr(self, name))  # fmt: skip
        for name in ("examples", "malformed_retries", "seed"):
            require(getattr(self, name) >= 0, f"synthesis.{name}", "0 or more",
                     getattr(self, name))  # fmt: skip
        require(self.characters_per_passage >= 100, "synthesis.characters_per_passage",
                 "100 or more", self.characters_per_passage)  # fmt: skip
        require(self.documents is None or self.documents >= 1, "synthesis.documents",
                 "1 or more", self.documents)  # fmt: skip
        require(self.grade > 0, "synthesis.grade", "above 0", self.grade)
