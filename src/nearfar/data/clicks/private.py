"""Finds what names a person or an account in a text, so that it is not learned from."""

import re

# Looked for at the start of a word alone: else a long word would be read once a letter.
_MAIL = re.compile(r"(?<![^\s@<>])[^\s@<>]+@[^\s@<>]+\.\w{2,}")
# Two letters, two digits, then groups: real numbers of accounts also pass the check of 97.
# ASCII, since [a-z] without case also finds letters such as the dotted capital I.
_IBAN = re.compile(r"\b([a-z]{2}\d{2}(?: ?[a-z0-9]){11,30})\b", re.IGNORECASE | re.ASCII)
_DIGITS = re.compile(r"(?<!\w)\+?\(?\d[\d ().\-/]*\d")
_LONG_RUN = 9  # digits: cards have 13 to 19, accounts 9 or more; a date has 8
_PHONE = 7  # digits, where the number begins as phone numbers do: +, 00 or 0


def personal(text: str) -> str:
    """Return what personal data a text holds, in words, or "" if none was found.

    Names and addresses are not found: they look like any other word. `Clicks.least_people`
    is the guard against those.

    >>> personal("reset jane@example.org"), personal("vitamin b12 2024-01-31")
    ('an e-mail address', '')
    """
    if "@" in text and _MAIL.search(text):
        return "an e-mail address"
    if any(_is_iban(match[1]) for match in _IBAN.finditer(text)):
        return "an IBAN"
    for match in _DIGITS.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        begins_as_phone = match[0].lstrip("(").startswith(("+", "0"))
        if begins_as_phone and _PHONE <= len(digits) <= 15:
            return "a phone number"
        if len(digits) >= _LONG_RUN:
            return "a long run of digits"
    return ""


def _is_iban(text: str) -> bool:
    """Tell whether the check digits hold: ISO 13616, the remainder by 97 is 1.

    A match may run on into the next words, so shorter beginnings are tried too.
    """
    packed = text.replace(" ", "").upper()
    return any(_remainder(packed[:length]) == 1 for length in range(15, len(packed) + 1))


def _remainder(iban: str) -> int:
    turned = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97
