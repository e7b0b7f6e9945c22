"""A grade as the whole number that trec_eval, MTEB and BEIR know."""


def whole_grade(grade: float) -> int:
    """Return a grade rounded; what is above 0 is an answer, and no less than 1.

    >>> [whole_grade(grade) for grade in (0, 0.2, 1.6)]
    [0, 1, 2]
    """
    return max(round(grade), 1) if grade > 0 else 0
