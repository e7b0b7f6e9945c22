"""How long texts are for a model, and where they are cut if a client says so."""

from collections.abc import Sequence
from typing import Literal

from nearfar.model.tokens import ASKING, TextToTokens
from nearfar.records import Role
from nearfar.serve.errors import Refusal

Side = Literal["end", "start"]  # which of the two a text loses
_CHARACTERS_PER_TOKEN = 4  # where there is no tokenizer: about what a token of English has


def tokens_of(model: object) -> TextToTokens | None:
    """Return what turns texts into a model's tokens; None: it has none that we know."""
    found = getattr(model, "tokens", None)
    return found if isinstance(found, TextToTokens) else None


def count_tokens(tokens: TextToTokens | None, texts: Sequence[str], role: Role) -> list[int]:
    """Return how many tokens each text has with its prompt, without a limit."""
    if tokens is None:
        return [len(text) // _CHARACTERS_PER_TOKEN + 1 for text in texts]
    return tokens.count(texts, role)


def shortened(
    tokens: TextToTokens | None, texts: Sequence[str], most: int, side: Side = "end"
) -> list[str]:
    """Return texts of at most so many tokens each, prompts and special tokens not counted.

    The cut stands between two tokens of the whole text; where the rest alone falls into other
    tokens, these may be one or two more.

    Raises:
        Refusal: the model has no tokenizer that says where in a text a token stands.
    """
    if tokens is None or not tokens.tokenizer.is_fast:
        raise Refusal(
            400, "This model cuts texts at its own limit alone: leave out the number of tokens "
            "and the side."
        )  # fmt: skip
    with ASKING:
        places = tokens.tokenizer(
            list(texts), add_special_tokens=False, return_offsets_mapping=True,
            return_attention_mask=False, return_token_type_ids=False, verbose=False,
        )["offset_mapping"]  # fmt: skip
    return [_cut(text, at, most, side) for text, at in zip(texts, places, strict=True)]


def _cut(text: str, places: Sequence[tuple[int, int]], most: int, side: Side) -> str:
    if len(places) <= most:
        return text
    if side == "end":
        return text[: places[most - 1][1]] if most else ""
    return text[places[len(places) - most][0] :] if most else ""
