"""Every kind of source becomes the judgments that it means."""

import math
from pathlib import Path
from typing import Any

import pytest
from making import write_lines

from nearfar.data.clicks.settings import Clicks
from nearfar.data.columns import Columns
from nearfar.data.dataset import Dataset
from nearfar.data.importing import ImportOptions, ImportSummary, import_source
from nearfar.data.kinds import KINDS
from nearfar.errors import BadRecord, BadSetting


def imported(folder: Path, kind: str, *rows: Any, name: str = "a.jsonl", **options: Any) -> (
    ImportSummary
):  # fmt: skip
    source = write_lines(folder / name, *rows)
    return import_source(source, folder / "set", ImportOptions(kind=kind, **options))


def said(dataset: Dataset) -> list[tuple[str, str, float]]:
    """Return judgments with texts in the place of ids, in order."""
    queries = {query.id: query.content for query in dataset.queries()}
    documents = {document.id: document.content for document in dataset.documents()}
    judged = [(queries[j.query_id], documents[j.document_id], j.grade)
              for j in dataset.judgments()]  # fmt: skip
    return sorted(judged)


def origins(dataset: Dataset) -> set[str]:
    return {judgment.origin.kind for judgment in dataset.judgments()}


def test_a_faq_and_titles_know_their_columns(tmp_path: Path) -> None:
    row = {"id": 7, "title": "Cats", "question": "who purrs?", "answer": "cats", "abstract": "On."}
    faq = imported(tmp_path / "faq", "faq", row).dataset
    titles = imported(tmp_path / "titles", "titles", row).dataset
    assert said(faq) == [("who purrs?", "cats", 1.0)]
    assert said(titles) == [("Cats", "On.", 1.0)]
    assert (origins(faq), origins(titles)) == ({"faq"}, {"title"})
    assert faq.manifest["parents"][0]["kind"] == "faq"


def test_paraphrases_are_one_pair_in_either_order(tmp_path: Path) -> None:
    one = {"sentence1": "a cat", "sentence2": "the cat", "label": "1"}
    rows = [one, {"sentence1": "the cat", "sentence2": "a cat", "label": "1"},
            {**one, "sentence1": "a dog", "label": "0"}, {**one, "sentence2": "a cat"}]  # fmt: skip
    found = imported(tmp_path, "paraphrases", *rows)
    assert sorted(grade for *_, grade in said(found.dataset)) == [0.0, 1.0]
    assert found.tally.merged == 1
    assert found.tally.left_out == {"pairs of a text and itself": 1}


NLI = [("a man runs", "a man moves", "entailment"), ("a man runs", "a man sleeps", "contradiction"),
       ("a man runs", "a man trains", "neutral"), ("a man runs", "a man eats", "-1"),
       ("a dog", "a cat", "contradiction")]  # fmt: skip


@pytest.mark.parametrize("numbers", [False, True])
def test_what_is_entailed_answers_and_what_contradicts_is_a_hard_negative(
    tmp_path: Path, numbers: bool
) -> None:
    names = {"entailment": 0, "neutral": 1, "contradiction": 2, "-1": -1}
    rows = [{"premise": p, "hypothesis": h, "label": names[label] if numbers else label}
            for p, h, label in NLI]  # fmt: skip
    found = imported(tmp_path, "nli", *rows)
    assert said(found.dataset) == [
        ("a man runs", "a man moves", 1.0),
        ("a man runs", "a man sleeps", 0.0),
    ]
    assert sorted(found.tally.left_out.values()) == [1, 1, 1]
    assert origins(found.dataset) == {"nli"}


def test_edited_premises_are_told_apart_by_the_hypothesis_they_share(tmp_path: Path) -> None:
    rows = [{"premise": p, "hypothesis": "it purrs", "label": label, "group": 3} for p, label in
            (("a cat", "entailment"), ("a dog", "contradiction"))]  # fmt: skip
    grouped = imported(tmp_path / "grouped", "nli", *rows)
    assert said(grouped.dataset) == [
        ("a cat", "it purrs", 1.0), ("it purrs", "a cat", 1.0), ("it purrs", "a dog", 0.0),
    ]  # fmt: skip
    plain = [{k: v for k, v in row.items() if k != "group"} for row in rows]
    assert said(imported(tmp_path / "plain", "nli", *plain).dataset) == [("a cat", "it purrs", 1.0)]


def test_real_groups_of_edits_are_read(tmp_path: Path, real_data: Path) -> None:
    found = import_source(real_data / "cad-nli", tmp_path / "set", ImportOptions(kind="nli"))
    assert found.tally.read == 11_330
    assert found.tally.left_out["neutral pairs"] == 3_780
    groups = {query.group.partition(":")[0] for query in found.dataset.queries()}
    assert groups == {"train", "dev", "test"}  # a group is a number within its part


def test_scores_become_grades_from_0_to_1(tmp_path: Path) -> None:
    rows = ["sentence1,sentence2,score", "a,b,4.5", "c,d,0", "e,f,2"]
    guessed = imported(tmp_path / "1", "sts", *rows, name="a.csv")
    named = imported(tmp_path / "2", "sts", *rows, name="a.csv", score_max=9)
    assert [grade for *_, grade in said(guessed.dataset)] == [0.9, 0.0, 0.4]
    assert [grade for *_, grade in said(named.dataset)] == pytest.approx([0.5, 0.0, 2 / 9])
    assert any("0 to 5" in sentence for sentence in guessed.sentences)
    with pytest.raises(BadRecord, match=r"a\.csv:2: expected a score of at most 1"):
        imported(tmp_path / "3", "sts", *rows, name="a.csv", score_max=1)
    with pytest.raises(BadSetting, match="score_max"):
        imported(tmp_path / "4", "sts", *rows, name="a.csv", score_max=math.nan)


TRANSLATIONS: dict[str, list[dict[str, Any]]] = {
    "named": [{"lang": "de", "eng": "a cat", "xxx": "eine Katze"}],
    "codes": [{"en": "a cat", "de": "eine Katze"}],
    "inside": [{"translation": {"en": "a cat", "de": "eine Katze"}}],
}


@pytest.mark.parametrize("case", TRANSLATIONS)
def test_translations_are_pairs_with_their_languages(tmp_path: Path, case: str) -> None:
    found = imported(tmp_path, "translations", *TRANSLATIONS[case]).dataset
    assert said(found) == [("a cat", "eine Katze", 1.0)]
    assert [d.fields["lang"] for d in found.documents()] == ["de"]
    assert next(q.fields["lang"] for q in found.queries()) in ("en", "eng")


def test_texts_with_one_key_are_translations_of_each_other(tmp_path: Path) -> None:
    said_of = [("eine Katze", "de", 1), ("a cat", "en", 1), ("un chat", "fr", 1),
               ("un chien", "fr", 2)]  # fmt: skip
    rows = [{"text": text, "lang": lang, "key": key} for text, lang, key in said_of]
    found = imported(tmp_path / "1", "translations", *rows)
    assert said(found.dataset) == [("eine Katze", "a cat", 1.0), ("un chat", "a cat", 1.0)]
    assert found.tally.left_out == {"texts whose key has none in en": 1}
    other = imported(tmp_path / "2", "translations", *rows, pivot="fr")
    assert said(other.dataset) == [("a cat", "un chat", 1.0), ("eine Katze", "un chat", 1.0)]
    with pytest.raises(BadSetting, match=r"no text is in 'xx'. Found: de, en, fr"):
        imported(tmp_path / "3", "translations", *rows, pivot="xx")


def labelled(labels: int, each: int) -> list[dict[str, str]]:
    rows = [{"text": f"text {i} of {label}", "intent": f"l{label}"}
            for label in range(labels) for i in range(each)]  # fmt: skip
    return [*rows, {"text": "what is love?", "intent": "oos"}]


def test_texts_ask_for_all_documents_of_their_label_and_for_no_other(tmp_path: Path) -> None:
    found = imported(tmp_path, "labels", *labelled(3, 10), documents_per_label=4).dataset
    queries = {query.id: query for query in found.queries()}
    documents = {document.id: document for document in found.documents()}
    assert (len(queries), len(documents)) == (3 * 6 + 1, 12)
    assert not queries.keys() & documents.keys()  # none would find itself first
    known = {(j.query_id, j.document_id) for j in found.judgments()}
    same = {(q, d) for q in queries for d in documents
            if queries[q].fields["intent"] == documents[d].fields["intent"]}  # fmt: skip
    assert known == same  # complete: nothing of a label is pushed away


def test_the_documents_of_labels_depend_on_the_seed_and_not_on_the_order(tmp_path: Path) -> None:
    rows = labelled(3, 10)
    digest = [imported(tmp_path / str(i), "labels", *each, seed=seed).dataset for i, (each, seed) in
              enumerate([(rows, 0), (rows[::-1], 0), (rows, 1)])]  # fmt: skip
    ids = [{document.id for document in dataset.documents()} for dataset in digest]
    assert ids[0] == ids[1] != ids[2]


def test_a_label_is_capped(tmp_path: Path) -> None:
    rows = labelled(1, 50)
    found = imported(tmp_path, "labels", *rows, documents_per_label=2, pairs_per_label=20)
    assert found.dataset.count("judgments") == 20
    assert sum(found.tally.left_out.values()) == 50 - 2 - 10


def test_the_examples_of_a_label_come_from_training(tmp_path: Path) -> None:
    rows = labelled(2, 10)[:-1]
    write_lines(tmp_path / "in/train.jsonl", *[r for i, r in enumerate(rows) if i % 2])
    write_lines(tmp_path / "in/test.jsonl", *[r for i, r in enumerate(rows) if not i % 2])
    found = import_source(
        tmp_path / "in", tmp_path / "set", ImportOptions(kind="labels", documents_per_label=3)
    )
    assert {d.source.partition(".")[0] for d in found.dataset.documents()} == {"train"}
    splits = found.dataset.manifest["splits"]
    assert (splits["test"]["queries"], splits["train"]["queries"]) == (10, 6)


def test_a_label_with_few_training_texts_keeps_some_that_ask(tmp_path: Path) -> None:
    rows = labelled(1, 25)[:-1]
    write_lines(tmp_path / "in/train.jsonl", *rows[:5])
    write_lines(tmp_path / "in/test.jsonl", *rows[5:])
    found = import_source(tmp_path / "in", tmp_path / "set", ImportOptions(kind="labels"))
    splits = found.dataset.manifest["splits"]
    assert (splits["train"]["queries"], splits["test"]["queries"]) == (3, 20)
    assert {d.source.partition(".")[0] for d in found.dataset.documents()} == {"train"}


def test_a_text_that_is_repeated_is_one_text_of_its_label(tmp_path: Path) -> None:
    found = imported(tmp_path, "labels", *labelled(1, 3) * 10)
    rows = found.dataset.manifest["rows"]
    assert (rows["documents"], rows["queries"]) == (1, 2 + 1)


def test_out_of_scope_is_told_in_any_case_and_no_label_is_not_it(tmp_path: Path) -> None:
    rows = [*labelled(1, 4)[:-1], {"text": "what is love?", "intent": "Other"}]
    found = imported(tmp_path / "1", "labels", *rows, out_of_scope=("Other",))
    assert {query.content for query in found.dataset.queries()} >= {"what is love?"}
    assert found.left_out == {"answers of texts out of scope, which have none": 1}
    assert {d.fields["intent"] for d in found.dataset.documents()} == {"l0"}
    for missing in ({}, {"intent": None}, {"intent": " "}):
        with pytest.raises(BadRecord, match=r"a\.jsonl:5: 'intent' is missing or empty"):
            imported(tmp_path / "2", "labels", *rows[:4], {"text": "what is love?", **missing})


def test_columns_that_are_not_named_after_a_language_name_none(tmp_path: Path) -> None:
    row = {"source": "a cat", "target": "eine Katze"}
    found = imported(tmp_path / "1", "translations", row).dataset
    assert not any("lang" in text.fields for text in (*found.queries(), *found.documents()))
    found = imported(tmp_path / "2", "translations", row | {"target_lang": "de"}).dataset
    assert [d.fields.get("lang") for d in found.documents()] == ["de"]


CHAT = [{"role": "system", "content": "be kind"}, {"role": "customer", "content": "my card"},
        {"role": "customer", "content": "is lost"}, {"role": "agent", "content": "Block it."},
        {"role": "customer", "content": "ok"}, {"role": "agent", "content": "Bye!"}]  # fmt: skip


def test_tickets_lead_to_the_article_that_solved_them(tmp_path: Path) -> None:
    rows = [
        {"ticket_id": 1, "question": "card lost", "article": "Block it.", "article_id": "kb1",
         "solved": True},
        {"ticket_id": 2, "question": "no use", "article": "Block it.", "article_id": "kb1",
         "solved": False},
    ]  # fmt: skip
    found = imported(tmp_path, "tickets", *rows)
    assert said(found.dataset) == [("card lost", "Block it.", 1.0)]
    assert [d.id for d in found.dataset.documents()] == ["kb1"]
    assert [q.group for q in found.dataset.queries()] == ["1"]
    assert found.tally.left_out == {"tickets that were not solved": 1}


def test_a_chat_is_a_question_and_the_longest_turn_of_an_agent(tmp_path: Path) -> None:
    found = imported(tmp_path, "tickets", {"ticket_id": "t", "messages": CHAT, "status": "solved"})
    assert said(found.dataset) == [("my card\nis lost", "Block it.", 1.0)]
    groups = {text.group for text in (*found.dataset.queries(), *found.dataset.documents())}
    assert groups == {"t"}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": [{"role": "ghost", "content": "boo"}]}, "expected turns with a role"),
        ({"question": "q", "article": "a", "solved": "perhaps"}, "expected solved or not"),
        ({"messages": [{"role": "agent", "content": "hi"}]}, "'question' is missing or empty"),
        ({"messages": [*CHAT, {"role": "agent", "content": "a\0b"}]}, "holds a NUL character"),
        ({"messages": '[{"role": "agent", "content": "\\ud83d"}]'}, "half of a surrogate pair"),
    ],
)
def test_a_bad_ticket_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(BadRecord, match=rf"a\.jsonl:1: .*{message}"):
        imported(tmp_path, "tickets", row)


def test_a_question_that_begins_like_json_is_a_question(tmp_path: Path) -> None:
    question = '[{"a":' * 50_000
    found = imported(tmp_path, "tickets", {"question": question, "article": "Close them."})
    assert said(found.dataset) == [(question, "Close them.", 1.0)]


WITHOUT_USE: list[tuple[str, dict[str, Any], str]] = [
    ("pairs", {"documents": "corpus.jsonl"}, "pairs has no use for documents. Read .* as clicks"),
    ("nli", {"clicks": Clicks(eta=2)}, "nli has no use for clicks"),
    ("clicks", {"columns": Columns(group="g")}, r"no use for columns\.group"),
    ("clicks", {"keep_splits": False, "group_field": "g"}, "no use for group_field, keep_splits"),
]


@pytest.mark.parametrize(("kind", "options", "message"), WITHOUT_USE)
def test_an_option_that_a_kind_has_no_use_for_is_refused(
    tmp_path: Path, kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadSetting, match=message):
        imported(tmp_path, kind, {"query": "q", "answer": "a"}, **options)


@pytest.mark.parametrize("kind", ["clicks", "beir"])
def test_the_hub_has_no_clicks_and_no_beir_and_is_not_asked(tmp_path: Path, kind: str) -> None:
    with pytest.raises(BadSetting, match=f"a data set of the hub cannot be read as {kind}"):
        import_source("hub:org/name", tmp_path / "set", ImportOptions(kind=kind))


def test_a_kind_that_is_not_known_is_answered_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=f"no kind 'nil'.*{', '.join(KINDS[:3])}"):
        imported(tmp_path, "nil", {"a": 1})


def test_an_origin_can_be_named_otherwise(tmp_path: Path) -> None:
    row = {"x": "q", "y": "a"}
    columns = Columns(query="x", document="y")
    found = imported(tmp_path, "faq", row, columns=columns, origin_kind="human")
    assert origins(found.dataset) == {"human"}
