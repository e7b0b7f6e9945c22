"""The digest that is written by hand is that of the canonical JSON."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from making import document, judgment

from nearfar.data.digest import RowsDigest, judgment_json, text_json
from nearfar.data.known import KnownTexts, key_of, print_of
from nearfar.data.tables import judgment_row, text_row
from nearfar.fingerprint import MultisetDigest, canonical_json, content_id

texts = st.text(st.characters(codec="utf-8"), min_size=1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
fields = st.dictionaries(
    texts.map(lambda name: f"f{name}"), st.one_of(st.integers(), st.booleans(), numbers, texts)
)


@given(texts, fields)
def test_a_text_is_written_as_the_general_encoder_would(content: str, more: dict[str, Any]) -> None:
    text = document("d", content, **more)
    assert text_json("documents", text) == canonical_json(["documents", text_row(text)])


@given(texts, st.floats(0, 1e300), st.none() | numbers)
def test_a_judgment_is_written_as_the_general_encoder_would(
    id: str, grade: float, score: float | None
) -> None:
    row = judgment_row(judgment(id, "d", grade, "dev")) | {"score": score}
    origin = tuple(row[f"origin_{name}"] for name in ("kind", "source", "by", "at", "facts"))
    written = judgment_json(id, "d", row["grade"], "dev", origin, score)
    assert written == canonical_json(["judgments", row])


def test_the_sum_is_the_same() -> None:
    ours, general = RowsDigest(), MultisetDigest()
    for row in (["a", {"b": 1}], ["c", {}]):
        ours.add_json(canonical_json(row))
        general.add(row)
    assert ours.hex() == general.hex()


@given(texts, texts)
def test_ids_and_texts_are_told_apart_however_they_are_kept(one: str, other: str) -> None:
    known = KnownTexts()
    for id in (content_id(one), content_id(one).upper(), "0" * 20, " " * 20, one):
        known.keep(key_of(id), print_of(id, one), 3)
        assert known.same(key_of(id), print_of(id, one)) is True
        assert known.same(key_of(id), print_of(id, other)) is (one == other)
        assert known.number(key_of(id)) == 3
    assert key_of("AB" * 10) != key_of("ab" * 10)
    assert known.same(key_of("none of them"), b"") is None or one == "none of them"
