"""An index that takes writes, as a person types it: built, updated, searched, replaced."""

import json
from pathlib import Path

import pytest
from tiny import WORDS, tiny_bert
from typer.testing import CliRunner, Result

from nearfar.cli import app
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadSetting, SpaceMismatch
from nearfar.records import Document, Judgment, Origin, Query
from nearfar.search.live_folder import LiveFolder, format_of, read_folder


def nearfar(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def ok(*words: object) -> str:
    done = nearfar(*words)
    assert done.exception is None, (done.exception, done.output)
    return done.stdout


def refused(*words: object) -> str:
    done = nearfar(*words)
    assert done.exception is not None, done.output
    assert isinstance(done.exception, BadFile | BadSetting | SpaceMismatch), done.exception
    return str(done.exception)


def dataset(folder: Path, changed: str = "", count: int = 12) -> Path:
    origin = Origin(kind="human", source="x")
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i, word in enumerate(WORDS[:count]):
            content = f"{word} {WORDS[i + 20]} {changed if i == 3 else ''}".strip()
            fields = {"year": 2015 + i, "side": "left" if i % 3 else "right"}
            writer.add(Document(id=f"d{i}", content=content, source=f"t:{i}", fields=fields))
            writer.add(Query(id=f"q{i}", content=word, source=f"t:{i}"))
            writer.add(Judgment(query_id=f"q{i}", document_id=f"d{i}", grade=1, origin=origin))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    dataset(folder / "data")
    dataset(folder / "later", changed=WORDS[70])
    dataset(folder / "fewer", changed=WORDS[70], count=5)
    tiny_bert(folder / "bert")
    tiny_bert(folder / "other", seed=5)
    said = ok("index", folder / "data", folder / "live", "--model", folder / "bert",
              "--store", "lance")  # fmt: skip
    assert "12 documents in space" in said
    assert "in LanceDB: 12 embedded, 0 unchanged; recall@10 1.000" in said
    return folder


def asked(home: Path, *more: object, model: str = "bert") -> list[dict[str, object]]:
    question = f"{WORDS[5]} {WORDS[25]}"
    found = ok("search", question, "--index", home / "live", "--model", home / model, "--json",
               *more)  # fmt: skip
    return [json.loads(line) for line in found.splitlines()]


def test_a_question_is_answered_with_conditions_words_and_reasons(home: Path) -> None:
    first, *_ = asked(home)
    assert (first["id"], first["rank"], first["source"]) == ("d5", 1, "t:5")
    assert first["score"] == pytest.approx(1, abs=1e-4)
    found = asked(home, "--where", "year>=2020", "--where", "side=right", "-k", 9)
    assert {row["id"] for row in found} == {"d6", "d9"}
    (hit, *_) = asked(home, "--lexical", "--explain")
    assert hit["word_rank"] == hit["vector_rank"] == 1
    content = str(hit["content"])
    assert hit["why"] == {"terms": [WORDS[5], WORDS[25]], "piece": 0, "pieces": 1,
                          "span": [0, len(content)], "text": content}  # fmt: skip
    said = ok("search", WORDS[5], "--index", home / "live", "--model", home / "bert",
              "--lexical", "--lexical-weight", 0.5, "--explain", "-k", 1)  # fmt: skip
    assert f"words of the question: {WORDS[5]}" in said
    assert "meaning #" in said
    assert "candidates found in" in said


def test_what_cannot_be_asked_is_refused(home: Path) -> None:
    where = ("search", "x", "--index", home / "live", "--model", home / "bert", "--where")
    assert "'colour' is no field" in refused(*where, "colour=red")
    assert "no condition" in refused(*where, "year")
    assert "integer values, and 'new' is none" in refused(*where, "year=new")
    assert "weights" in refused("search", "x", "--index", home / "live", "--model", home / "other")


def test_an_update_embeds_what_changed_and_another_model_takes_over(home: Path) -> None:
    live, bert, other = home / "live", home / "bert", home / "other"
    assert "stands there already. Add --update" in refused(
        "index", home / "data", live, "--model", bert
    )
    said = ok("index", home / "later", live, "--model", bert, "--update")
    assert "1 embedded, 11 unchanged" in said
    said = ok("index", home / "fewer", live, "--model", bert, "--update", "--prune")
    assert "0 embedded, 5 unchanged, 7 taken out" in said
    ok("index", home / "later", live, "--model", bert, "--update")
    wrong = refused("index", home / "later", live, "--model", other, "--update")
    assert "weights" in wrong
    assert "add --reindex" in wrong
    card = ok("index", "--card", live)
    assert "version     v1, in LanceDB" in card
    assert "side (text), year (integer)" in card
    assert "recall@10   1.0000" in card
    assert "found none. Build one" in refused("index", "--switch", live)
    said = ok("index", home / "later", live, "--model", other, "--reindex")
    assert "version v2 beside v1, 12 documents" in said
    assert "Asked 12 queries, 12 of them with a known answer" in said
    assert said.count("nDCG@10") == 2
    assert asked(home)[0]["id"] == "d5"  # v1 is live still
    assert "version v2 is live in place of v1; 0 documents were new" in ok(
        "index", "--switch", live
    )
    assert asked(home, model="other")[0]["id"] == "d5"
    assert "version v1 is live in place of v2" in ok("index", "--rollback", live)
    assert asked(home)[0]["id"] == "d5"


def test_options_of_one_kind_are_refused_for_the_other(home: Path) -> None:
    data, live, model = home / "data", home / "live", ("--model", home / "bert")
    files = home / "files"
    assert "--update is for indexes that take writes" in refused(
        "index", data, files, *model, "--update"
    )
    assert "--prune takes out" in refused("index", data, live, *model, "--prune")
    assert "are two steps" in refused("index", data, live, *model, "--update", "--reindex")
    assert "--piece-tokens is for" in refused("index", data, files, *model, "--piece-tokens", 20)
    assert "--replace is for indexes of --store files" in refused(
        "index", data, live, *model, "--replace"
    )
    assert "--storage float16 is for" in refused(
        "index", data, live, *model, "--storage", "float16", "--update"
    )
    assert "stands in LanceDB. Leave --store out" in refused(
        "index", data, live, *model, "--update", "--store", "files"
    )
    assert "must be one of files, lance, postgres://" in refused(
        "index", data, files, *model, "--store", "redis"
    )
    secret = refused("index", data, files, *model, "--store", "postgres://me:hush@host/db")
    assert "without a password" in secret
    assert "hush" not in secret
    assert not files.exists()
    assert "found something else" in refused("index", data, data, *model, "--store", "lance")
    assert "expected an index that takes writes" in refused("index", "--card", home)


def test_an_index_of_files_is_what_it_was(home: Path) -> None:
    ok("index", home / "data", home / "fixed", "--model", home / "bert")
    assert format_of(home / "fixed") == 1
    question = f"{WORDS[5]} {WORDS[25]}"
    search = ("search", question, "--index", home / "fixed", "--model", home / "bert")
    assert json.loads(ok(*search, "--json", "-k", 1))["id"] == "d5"
    assert "no field 'year>'" in refused(*search, "--where", "year>=2020")
    assert "--where needs FIELD=VALUE" in refused(*search, "--where", "year")
    assert "--explain is for indexes that take writes" in refused(*search, "--explain")
    assert "found something else" in refused(
        "index", home / "data", home / "fixed", "--model", home / "bert", "--store", "lance"
    )
    ok("index", home / "data", home / "fixed", "--model", home / "bert", "--store", "files",
       "--replace")  # fmt: skip


def test_a_folder_says_where_its_index_stands(tmp_path: Path) -> None:
    server = "postgresql://me@host:5432/db?sslmode=require"
    for store in ("lance", server):
        place = LiveFolder.of_store(tmp_path / "some", store)
        place.write()
        assert read_folder(tmp_path / "some") == place
    assert (place.kind, place.url, place.index) == ("postgres", server, "some")
    for harm in ("", "[]", "{}", '{"format": 2, "store": "redis", "url": "", "index": ""}'):
        (tmp_path / "some" / "index.json").write_text(harm)
        with pytest.raises(BadFile, match="expected an index that takes writes, found"):
            read_folder(tmp_path / "some")
