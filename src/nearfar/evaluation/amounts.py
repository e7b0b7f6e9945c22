"""How many of a thing, as people write it: "1 query", "1,200 queries"."""

_MANY = {"query": "queries", "judged query": "judged queries"}  # all others take an s


def amount(number: int, thing: str) -> str:
    """Return a number with its thing.

    >>> amount(1, "query"), amount(1_200, "query"), amount(0, "group")
    ('1 query', '1,200 queries', '0 groups')
    """
    return f"{number:,} {thing if number == 1 else _MANY.get(thing, f'{thing}s')}"
