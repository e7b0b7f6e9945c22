"""From a model back to the lines that made it, and from a line to all that holds it."""

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import typer
from traced import ROWS, USERS, make_workspace, only, row
from typer.testing import CliRunner

from nearfar.cli.lineage import lineage as command
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadSetting
from nearfar.fingerprint import content_id
from nearfar.lineage.holdings import Holdings, find_holdings
from nearfar.lineage.matching import wanted
from nearfar.lineage.picture import draw_lineage
from nearfar.lineage.provenance import provenance, write_provenance
from nearfar.lineage.things import Lineage
from nearfar.lineage.walk import lineage
from nearfar.lineage.workspace import scan
from nearfar.records import Document, Judgment, Origin, Query


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workspace(tmp_path_factory.mktemp("traced"))


@pytest.fixture(scope="module")
def of_model(work: Path) -> Lineage:
    return lineage(only(work, "runs/tiny/train-*/model"), scan(work))


def holders(work: Path, *ids: str) -> Holdings:
    return find_holdings(scan(work), wanted(ids))


def run_command(*words: object) -> tuple[str, BaseException | None]:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.output, done.exception


# -- back ---------------------------------------------------------------------------------------


def test_a_model_leads_back_to_its_negatives_its_lines_and_its_base(
    of_model: Lineage, work: Path
) -> None:
    kinds = [thing.making.kind for thing in of_model.things.values() if thing.making]
    assert sorted(kinds) == ["import", "mine", "train"]
    (source,) = [thing for thing in of_model.things.values() if thing.kind == "source"]
    assert source.folder == work.parent / "pairs.jsonl"
    assert source.state == ""
    (model,) = of_model.roots
    roles = dict(of_model.used_by(model))
    mined = roles["learned from"]
    assert mined.folder == only(work, "runs/tiny/mine-*/dataset")
    origins = {origin["kind"]: origin for origin in mined.facts["origins"]}
    assert origins["human"]["files"] == {"pairs.jsonl": ROWS}
    assert origins["mined"]["no_answers"] > 0
    base = json.loads((only(work, "runs/tiny/train-*/model") / "nearfar.json").read_text())
    assert roles["began as"].facts["space"] == base["base_space"]


def test_a_run_leads_back_from_all_that_it_left(work: Path) -> None:
    found = lineage(work / "runs" / "tiny", scan(work))
    assert {found.things[root].kind for root in found.roots} == {"report", "index"}
    assert {t.kind for t in found.things.values()} == {
        "report", "index", "model", "dataset", "source",
    }  # fmt: skip
    shown = list(found.walk())
    assert len({thing.key for _, _, thing, again in shown if not again}) == len(found.things)


def test_a_parent_that_is_not_here_is_shown_with_its_digest(work: Path, tmp_path: Path) -> None:
    shutil.copytree(only(work, "runs/tiny/train-*/model"), tmp_path / "model")
    found = lineage(tmp_path / "model", scan(tmp_path))
    (dataset,) = [thing for thing in found.things.values() if thing.kind == "dataset"]
    facts = json.loads((tmp_path / "model" / "nearfar.json").read_text())
    assert dataset.state == "not in this workspace"
    assert dataset.facts["digest"] == facts["tasks"][0]["dataset"]


def test_a_source_that_has_changed_is_said(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work.parent, tmp_path / "copy", symlinks=True)
    place = tmp_path / "copy"
    manifest = place / "work" / "data" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(work.parent), str(place)))

    def state() -> str:
        found = lineage(place / "work" / "data", scan(place))
        return next(thing.state for thing in found.things.values() if thing.kind == "source")

    assert state() == ""
    (place / "pairs.jsonl").write_text("{}\n")
    assert state() == "changed since it was read"
    (place / "pairs.jsonl").unlink()
    assert state() == "not in this workspace"


def test_what_is_no_work_of_ours_is_refused(work: Path, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="expected a folder that nearfar made"):
        lineage(tmp_path / "none")
    with pytest.raises(BadFile, match="found none of their files"):
        lineage(tmp_path)
    shutil.copytree(work / "data", tmp_path / "data")
    manifest = json.loads((tmp_path / "data" / "manifest.json").read_text())
    manifest["parents"] = [{"kind": "dataset", "path": "x", "digest": manifest["digest"]}]
    (tmp_path / "data" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BadFile, match="is behind itself"):
        lineage(tmp_path / "data")


def test_links_that_run_in_circles_are_followed_once(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work, tmp_path / "work", symlinks=True)
    (tmp_path / "again").symlink_to(tmp_path)
    (tmp_path / "first").symlink_to("work/data")
    found = scan(tmp_path)
    assert len(found.datasets) == 3
    assert len(found.models) == 1
    assert not [path for path in found.stores if "model" in path.parts]


# -- forth --------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["line", "query", "document"])
def test_a_line_leads_to_all_that_holds_it(what: str, work: Path) -> None:
    learned = next(Dataset.open(only(work, "runs/tiny/mine-*/dataset")).judgments("train"))
    line = next(j for j in Dataset.open(work / "data").judgments()
                if j.query_id == learned.query_id).origin.source  # fmt: skip
    asked = {"line": line, "query": learned.query_id, "document": learned.document_id}[what]
    found = holders(work, asked)
    assert {held.dataset.folder.name for held in found.datasets} == {"data", "dataset"}
    assert len(found.datasets) == 3
    assert [one.model.folder.name for one in found.models] == ["model"]
    assert found.stores == [only(work, "runs/tiny/train-*/tokens-*")]
    if what != "query":
        assert {place.folder for place, ids in found.indexes if len(ids) == 1} == {
            work / "index", only(work, "runs/tiny/index-*/index"),
        }  # fmt: skip


def test_a_user_leads_to_exactly_the_users_rows(work: Path) -> None:
    found = holders(work, "user-3")
    rows = [row(i) for i in range(ROWS) if i % USERS == 3]
    for held in found.datasets:
        assert held.queries == {content_id(one["query"]) for one in rows}
        assert held.documents == {content_id(one["document"]) for one in rows}
        assert held.reasons["user"] == 2 * len(rows)


def test_a_file_leads_to_every_row_and_a_stranger_to_none(work: Path) -> None:
    assert {len(held.queries) for held in holders(work, "pairs.jsonl").datasets} == {ROWS}
    assert not holders(work, "pairs.json")
    assert not holders(work, "pairs.jsonl:7777")
    assert {len(h.queries) for h in holders(work, "pairs.jsonl:7").datasets} == {1}  # not 70 to 72


def test_what_was_only_measured_with_was_not_learned_from(work: Path) -> None:
    dataset = Dataset.open(only(work, "runs/tiny/import-*/dataset"))
    found = holders(work, next(dataset.judgments("test")).query_id)
    assert found.datasets
    assert found.models == []
    assert found.stores == []
    assert found.reports


def test_a_model_that_kept_its_base_has_learned_nothing(work: Path, tmp_path: Path) -> None:
    shutil.copytree(only(work, "runs/tiny/mine-*/dataset"), tmp_path / "data")
    shutil.copytree(only(work, "runs/tiny/train-*/model"), tmp_path / "model")
    assert holders(tmp_path, "user-1").models
    path = tmp_path / "model" / "nearfar.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps(facts | {"base_space": facts["space"]["fingerprint"]}))
    assert holders(tmp_path, "user-1").models == []


def test_prompts_annotators_and_sessions_are_found_in_origins(tmp_path: Path) -> None:
    prompt = "0123456789abcdef"
    made = Origin(kind="synthetic", source="d1:0-9", by="llm-x", facts={"prompt_hash": prompt})
    judged = Origin(kind="human", source="s.csv:4", by="anna", facts={"session": "s-77"})
    with write_dataset(tmp_path / "d", licence="x", parents=[]) as writer:
        for one in ("1", "2"):
            writer.add(Document(id=f"d{one}", content=f"document {one}"))
            writer.add(Query(id=f"q{one}", content=f"query {one}"))
        writer.add(Judgment(query_id="q1", document_id="d1", grade=1, origin=made))
        writer.add(Judgment(query_id="q2", document_id="d2", grade=1, origin=judged))
    for asked, queries, judgments in (
        (prompt, {"q1"}, 1), ("llm-x", {"q1"}, 1), ("anna", set(), 1), ("s-77", set(), 1),
        ("d1", {"q1"}, 1), ("q2", {"q2"}, 1),
    ):  # fmt: skip
        (held,) = holders(tmp_path, asked).datasets
        assert (held.queries, held.judgments) == (queries, judgments), asked
    found = lineage(tmp_path / "d")
    assert {t.key for t in found.things.values() if t.kind == "prompt"} == {f"prompt-{prompt}"}
    (root,) = found.roots
    making = found.things[root].making
    assert making is not None
    assert {(agent.label, agent.person) for agent in making.agents} >= {
        ("llm-x", False), ("anna", True),
    }  # fmt: skip


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs), "a name is said twice"
    return dict(pairs)


def test_prov_is_whole_and_has_no_circle(of_model: Lineage, tmp_path: Path) -> None:
    write_provenance(of_model, tmp_path / "prov.json")
    found = json.loads((tmp_path / "prov.json").read_text(), object_pairs_hook=once)
    kinds = {
        "wasGeneratedBy": {"prov:entity": "entity", "prov:activity": "activity"},
        "used": {"prov:activity": "activity", "prov:entity": "entity"},
        "wasDerivedFrom": {"prov:generatedEntity": "entity", "prov:usedEntity": "entity",
                           "prov:activity": "activity"},
        "wasAssociatedWith": {"prov:activity": "activity", "prov:agent": "agent"},
    }  # fmt: skip
    assert set(found) == {"prefix", "entity", "activity", "agent", *kinds}
    names = [name for kind in ("entity", "activity", "agent") for name in found[kind]]
    assert len(set(names)) == len(names)
    assert {name.split(":")[0] for name in names} <= found["prefix"].keys()
    for kind, ends in kinds.items():
        for relation in found[kind].values():
            for end, where in ends.items():
                assert relation[end] in found[where], (kind, relation)
    for kind in ("entity", "activity", "agent"):
        for said in found[kind].values():
            assert {name.split(":")[0] for name in said} <= found["prefix"].keys()
    parents: dict[str, set[str]] = {}
    for one in found["wasDerivedFrom"].values():
        parents.setdefault(one["prov:generatedEntity"], set()).add(one["prov:usedEntity"])
    left = set(found["entity"])
    while left:
        free = {entity for entity in left if not parents.get(entity, set()) & left}
        assert free, "an entity was derived from itself"
        left -= free


def test_ids_do_not_depend_on_where_things_stand(of_model: Lineage, work: Path) -> None:
    moved = work.parent / "moved"
    shutil.copytree(work, moved, symlinks=True)
    again = lineage(only(moved, "runs/tiny/train-*/model"), scan(moved))
    shutil.rmtree(moved)
    for kind in ("entity", "activity", "agent", "used", "wasDerivedFrom"):
        assert provenance(again)[kind].keys() == provenance(of_model)[kind].keys()


def test_the_picture_names_every_thing_and_is_the_same_each_time(
    of_model: Lineage, tmp_path: Path
) -> None:
    for name in ("one.svg", "two.svg"):
        draw_lineage(of_model, tmp_path / name)
    picture = (tmp_path / "one.svg").read_text()
    assert picture == (tmp_path / "two.svg").read_text()
    ET.fromstring(picture)
    for thing in of_model.things.values():
        assert thing.label[:30] in picture, thing.label


def test_the_command_prints_a_tree_json_and_files(work: Path, tmp_path: Path) -> None:
    model = only(work, "runs/tiny/train-*/model")
    files = ["--prov", tmp_path / "p.json", "--picture", tmp_path / "p.svg"]
    tree, problem = run_command(model, "--workspace", work, *files)
    assert problem is None
    assert "learned from" in tree
    assert f"from pairs.jsonl ({ROWS})" in tree
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.json", "p.svg"]
    said, _ = run_command(model, "--workspace", work, "--json")
    assert json.loads(said)["roots"]
    said, _ = run_command("--of", "user-3", "--workspace", work)
    assert "9 documents, 9 queries" in said
    said, _ = run_command("--of", "nobody", "--workspace", work)
    assert "holds anything of it" in said
    said, _ = run_command("--where", "user=user-3", "--workspace", work, "--json")
    assert len(json.loads(said)["datasets"]) == 3


def test_the_command_refuses_what_it_cannot_mean(work: Path) -> None:
    for words, part in (
        ((), "either a folder"),
        ((work / "data", "--of", "x"), "either a folder"),
        (("--of", ""), "empty one"),
        (("--where", "user"), "FIELD=VALUE"),
        (("--of", "x", "--prov", "p.json"), "need a folder"),
    ):
        _, problem = run_command(*words)
        assert isinstance(problem, BadSetting), words
        assert part in str(problem)
    _, problem = run_command("--of", "x", "--workspace", work / "none")
    assert isinstance(problem, BadFile)
