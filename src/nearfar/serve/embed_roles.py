"""Which model a request means, and whether its texts are queries or documents.

Clients say it in four ways (TEI `prompt_name`, Cohere and Voyage `input_type`, Jina `task`); all
mean one of the two prompts on the model's card. Who can say none of them asks for the model
`NAME:query` or `NAME:document`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from nearfar.records import Role
from nearfar.serve.errors import Refusal
from nearfar.serve.served import Offer, Served, ServedReranker

NAMES: Mapping[str, Role] = MappingProxyType({
    "query": "query", "search_query": "query", "retrieval.query": "query",
    "retrieval_query": "query", "document": "document", "passage": "document",
    "search_document": "document", "retrieval.passage": "document",
    "retrieval_document": "document",
})  # fmt: skip
# Neither asks nor answers: well defined only where both prompts are one.
ALIKE = frozenset({
    "classification", "clustering", "separation", "text-matching", "semantic_similarity",
})  # fmt: skip
ROLES: tuple[Role, ...] = ("query", "document")


def find_model(offer: Offer, name: str | None) -> tuple[Served, Role | None]:
    """Return the model of a name, and the role that the name itself says, if it does.

    Raises:
        Refusal: there is none; the message names those there are.
    """
    asked = name or offer.model or ""
    if found := offer.models.get(asked):
        return found, None
    base, _, said = asked.rpartition(":")
    for role in ROLES:
        if said == role and (found := offer.models.get(base)):
            return found, role
    raise _unknown("model", asked, offer.models)


def find_reranker(offer: Offer, name: str | None) -> ServedReranker:
    """Return the reranker of a name, or the default.

    Raises:
        Refusal: there is none; the message names those there are.
    """
    asked = name or offer.reranker or ""
    if found := offer.rerankers.get(asked):
        return found
    raise _unknown("reranker", asked, offer.rerankers)


def role_of(served: Served, said: Mapping[str, str | None], by_name: Role | None) -> Role:
    """Return the role of a request's texts.

    Args:
        served: the model.
        said: what the request says under each of its fields; None and "" say nothing.
        by_name: what the model's name said.

    Raises:
        Refusal: a name is neither known nor on the model's card, or two fields disagree.
    """
    roles = {field: _role(served, field, name) for field, name in said.items() if name}
    if by_name:
        roles["model"] = by_name
    if len(set(roles.values())) > 1:
        told = ", ".join(f"{field} says {role}" for field, role in roles.items())
        raise Refusal(400, f"Expected one role for all texts, found two: {told}.", param="model")
    return next(iter(roles.values()), served.role)


def _role(served: Served, field: str, name: str) -> Role:
    own = served.prompt_names.get(name) or NAMES.get(name.lower())
    if own:
        return own
    if name.lower() in ALIKE and not served.divides_roles:
        return served.role
    known = ", ".join(sorted({*served.prompt_names, *NAMES}))
    why = " has one prompt for queries and one for documents," if name.lower() in ALIKE else ""
    raise Refusal(
        400,
        f"{field}: {served.name}{why} knows {known}; found {_short(name)}.",
        param=field, code="unknown_prompt",
    )  # fmt: skip


def _unknown(kind: str, asked: str, known: Mapping[str, object]) -> Refusal:
    names = ", ".join(sorted(known)) or "none"
    found = f"found {_short(asked)}" if asked else "the request names none"
    return Refusal(
        404, f"Expected a {kind} that is served ({names}), {found}.",
        param="model", code="model_not_found",
    )  # fmt: skip


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
