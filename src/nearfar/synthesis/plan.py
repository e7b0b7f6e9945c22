"""What a language model would be asked: the documents, the prompts, and each task in order."""

from collections.abc import Iterator
from dataclasses import dataclass

from nearfar.data.dataset import Dataset
from nearfar.synthesis.asking import Task
from nearfar.synthesis.passages import Chosen, choose_documents, example_queries, passages
from nearfar.synthesis.prompts import Prompt, prompt
from nearfar.synthesis.settings import Synthesis


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is to be asked. The same dataset and settings make the same plan."""

    dataset: Dataset
    settings: Synthesis
    chosen: Chosen
    prompts: tuple[Prompt, ...]
    passages: int

    @property
    def total(self) -> int:
        """How many tasks there are; of documents with the same text only one is asked for."""
        return self.passages * len(self.prompts)

    def tasks(self) -> Iterator[Task]:
        """Yield every task, document by document."""
        assert self.settings.llm is not None
        for passage in passages(self.dataset, self.chosen.ids, self.settings):
            for one in self.prompts:
                yield Task(passage, one, self.settings.llm.model, self.settings.seed)


def make_plan(dataset: Dataset, settings: Synthesis) -> Plan:
    """Choose documents and examples, and make the prompts.

    Raises:
        BadRecord: there is no document to write for.
    """
    chosen = choose_documents(dataset, settings)
    examples = example_queries(dataset, settings)
    prompts = tuple(
        prompt(style, settings.queries, language=settings.language, examples=examples)
        for style in settings.styles
    )
    count = sum(1 for _ in passages(dataset, chosen.ids, settings))
    return Plan(dataset, settings, chosen, prompts, count)
