"""A space is all of its choices: each renames it, and two spaces never mix."""

from dataclasses import fields, replace

import pytest
from doubles import LETTERS

from nearfar.errors import BadFile, SpaceMismatch
from nearfar.model.space import EmbeddingSpace, require_same_space

SPACE = replace(LETTERS, weights="a1" * 32, query_prompt="query: ")
CHOICES = [field.name for field in fields(EmbeddingSpace)]


def other(name: str) -> EmbeddingSpace:
    """The same space but for one choice."""
    value = getattr(SPACE, name)
    changed = not value if isinstance(value, bool) else value * 2 if value else "x"
    return replace(SPACE, **{name: changed})


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_renames_the_space(name: str) -> None:
    assert other(name).fingerprint != SPACE.fingerprint


@pytest.mark.parametrize("name", CHOICES)
def test_another_space_is_refused_with_the_choice_that_differs(name: str) -> None:
    with pytest.raises(SpaceMismatch) as caught:
        require_same_space(SPACE, other(name), to="search this index")
    message = str(caught.value)
    assert message.startswith("Cannot search this index: the vectors live in different spaces (")
    assert SPACE.fingerprint in message
    assert other(name).fingerprint in message
    named = [line.split(":")[0].strip() for line in message.splitlines() if " here, " in line]
    assert named == [name]


def test_prompts_that_differ_only_at_their_end_are_shown_to_their_end() -> None:
    long = "Represent this sentence for searching relevant passages"
    ours, theirs = (replace(SPACE, query_prompt=long + end) for end in (": ", ":"))
    with pytest.raises(SpaceMismatch, match=r"passages: ' here, .*passages:' there"):
        require_same_space(ours, theirs, to="search")


def test_the_same_choices_are_one_space() -> None:
    require_same_space(SPACE, replace(SPACE), to="search")
    assert replace(SPACE).fingerprint == SPACE.fingerprint


def test_the_first_numbers_of_a_vector_are_a_space_of_their_own() -> None:
    assert SPACE.truncated(13).dim == 13
    assert SPACE.truncated(13).fingerprint != SPACE.fingerprint
    assert SPACE.truncated(26) == SPACE
    for dim in (0, -1, 27):
        with pytest.raises(ValueError, match="dim must be 1 to 26"):
            SPACE.truncated(dim)


def test_what_is_written_is_read_again() -> None:
    assert EmbeddingSpace.from_json(SPACE.to_json(), where="space.json") == SPACE


@pytest.mark.parametrize("name", [*CHOICES, "fingerprint"])
def test_a_file_changed_by_hand_is_refused(name: str) -> None:
    facts = SPACE.to_json()
    facts[name] = other(name).to_json()[name] if name in CHOICES else "0" * 16
    with pytest.raises(BadFile, match=r"space\.json: the space says it is .* changed by hand"):
        EmbeddingSpace.from_json(facts, where="space.json")


@pytest.mark.parametrize(
    "facts",
    [
        {},
        [],
        None,
        "space",
        {name: value for name, value in SPACE.to_json().items() if name != "pooling"},
        SPACE.to_json() | {"colour": "blue"},
        SPACE.to_json() | {"dim": float("nan")},
    ],
    ids=["empty", "list", "none", "text", "one missing", "one too many", "not a number"],
)
def test_a_file_of_something_else_is_refused(facts: object) -> None:
    with pytest.raises(BadFile, match=r"space\.json: not the description of a space"):
        EmbeddingSpace.from_json(facts, where="space.json")  # type: ignore[arg-type]
