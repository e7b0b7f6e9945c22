"""A served endpoint as something that encodes: its vectors come over HTTP.

Shapes: N texts, D dimensions.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from jaxtyping import Float
from torch import Tensor

from nearfar.errors import BadModel
from nearfar.llm.embedding import EmbeddingClient, batches_of
from nearfar.progress import Progress, silent
from nearfar.records import Role


class ServedEncoder:
    """Encodes by asking a server, some requests at once.

    The format has no word for a role: what a model wants to read before a query or a document is
    put there, as the texts are sent.
    """

    def __init__(
        self, client: EmbeddingClient, *, query_prompt: str = "", document_prompt: str = ""
    ) -> None:
        self._client = client
        self._prompts: dict[Role, str] = {"query": query_prompt, "document": document_prompt}
        self._last_tokens = 0
        self._dim: int | None = None

    def encode(
        self, contents: Sequence[str], role: Role, *, progress: Progress = silent
    ) -> Float[Tensor, "N D"]:
        """Return one vector per content, in the order given.

        Raises:
            NoAnswer: a request failed at every try, or the server refuses it.
            BadSetting: the key, the model or the address is wrong.
            BadModel: the vectors change their length from one request to the next.
        """
        texts = [self._prompts[role] + content for content in contents]
        batches = list(batches_of(texts, self._client.most_texts))
        parts: list[Tensor] = []
        counted: list[int | None] = []
        done = 0
        with ThreadPoolExecutor(self._client.settings.concurrency) as threads:
            try:
                for found in threads.map(self._client.embed, batches):
                    parts.append(torch.from_numpy(found.vectors))
                    counted.append(found.tokens)
                    done += len(found.vectors)
                    progress("asking for vectors", done, len(texts))
            except BaseException:
                self._client.end()  # what waits for its turn need not be sent
                raise
        # A sum that lacks a part would be too cheap: it is none.
        self._last_tokens = 0 if None in counted else sum(filter(None, counted))
        self._require_same_length(parts)
        return torch.cat(parts)

    def count(self, contents: Sequence[str], role: Role) -> int:
        """Return the tokens of what was encoded last, as the server counts them; 0: it did not."""
        return self._last_tokens

    def _require_same_length(self, parts: Sequence[Tensor]) -> None:
        lengths = {part.shape[1] for part in parts} | ({self._dim} if self._dim else set())
        if len(lengths) != 1:
            raise BadModel(
                f"{self._client.settings.model}: expected vectors of one length, found "
                f"{sorted(lengths)}. Does one address stand for several models?"
            )
        self._dim = lengths.pop()
