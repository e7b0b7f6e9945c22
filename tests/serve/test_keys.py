"""Keys: what the file holds, what is found, and what a revocation does at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nearfar.errors import BadFile, BadSetting
from nearfar.serve import keys as module
from nearfar.serve.keys import KeyRing, add_key, find_key, read_keys, revoke_key

AT = "2026-11-21T12:00:00+00:00"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def test_the_file_holds_no_key(file: Path) -> None:
    key = add_key(file, "shop", ["read"], at=AT)
    assert len(key) > 40
    assert key not in file.read_text()
    assert key.removeprefix("nf_") not in file.read_text()


def test_a_key_is_found_and_no_other(file: Path) -> None:
    first, second = (add_key(file, name, ["read"], at=AT) for name in ("shop", "wiki"))
    keys = read_keys(file)
    for sent, name in ((first, "shop"), (second, "wiki")):
        found = find_key(keys, sent)
        assert found is not None
        assert found.name == name
    for wrong in ("", first[:-1], first + "a", first.upper(), keys[0].sha256, "nf_" * 10_000):
        assert find_key(keys, wrong) is None


def test_every_key_is_compared_whole(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [add_key(file, f"key{i}", ["read"], at=AT) for i in range(4)]
    seen: list[tuple[int, int]] = []

    def compare(a: str, b: str) -> bool:
        seen.append((len(a), len(b)))
        return a == b

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    assert find_key(read_keys(file), sent[0]) is not None
    assert seen == [(64, 64)] * 4  # the first was right, and the others were looked at too


def test_a_revoked_key_holds_no_more_without_a_restart(file: Path) -> None:
    key = add_key(file, "shop", ["read"], at=AT)
    ring = KeyRing(file, pytest.fail)
    assert ring.find(key) is not None
    revoke_key(file, "shop", at=AT)
    assert ring.find(key) is None
    later = add_key(file, "wiki", ["read"], at=AT)
    assert ring.find(later) is not None


def test_a_file_that_is_damaged_meanwhile_locks_nobody_out_and_is_said(file: Path) -> None:
    key, said = add_key(file, "shop", ["read"], at=AT), []
    ring = KeyRing(file, said.append)
    file.write_text("{")
    assert ring.find(key) is not None
    assert ring.find(key) is not None
    assert len(said) == 1
    assert "still hold" in said[0]


def test_who_may_administer_may_do_all_and_who_writes_does_not_read(file: Path) -> None:
    add_key(file, "boss", ["admin"], at=AT)
    add_key(file, "loader", ["write"], at=AT)
    boss, loader = read_keys(file)
    assert boss.may("read")
    assert boss.may("write")
    assert loader.may("write")
    assert not loader.may("read")


@pytest.mark.parametrize(
    ("name", "rights", "rate", "said"),
    [
        ("", ["read"], None, "name"),
        ("a b", ["read"], None, "name"),
        ("x" * 65, ["read"], None, "name"),
        ("shop\n", ["read"], None, "name"),
        ("shop", ["reed"], None, "read, write, admin"),
        ("shop", [], None, "rights"),
        ("shop", ["read"], 0.5, "1 or more"),
        ("shop", ["read"], float("nan"), "1 or more"),
    ],
)
def test_what_is_not_allowed_is_said_and_nothing_is_written(
    file: Path, name: str, rights: list[str], rate: float | None, said: str
) -> None:
    with pytest.raises(BadSetting, match=said):
        add_key(file, name, rights, at=AT, requests_per_minute=rate)
    assert not file.exists()


def test_a_name_is_never_given_twice(file: Path) -> None:
    add_key(file, "shop", ["read"], at=AT)
    revoke_key(file, "shop", at=AT)
    with pytest.raises(BadSetting, match="taken"):
        add_key(file, "shop", ["read"], at=AT)
    with pytest.raises(BadSetting, match="revoked at 2026"):
        revoke_key(file, "shop", at=AT)
    with pytest.raises(BadSetting, match="there are: shop"):
        revoke_key(file, "shob", at=AT)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 2, "keys": []}', '{"format": 1, "keys": [{}]}',
     '{"format": 1, "keys": [{"name": "a", "sha256": "00", "rights": ["read"]}]}',
     '{"format": 1, "keys": [{"name": "a", "sha256": "%s", "rights": ["all"]}]}' % ("0" * 64),
     '{"format": 1, "keys": [{"name": 7, "sha256": "%s", "rights": ["read"]}]}' % ("0" * 64)],
)  # fmt: skip
def test_a_file_that_is_none_is_named(file: Path, content: str) -> None:
    file.write_text(content)
    with pytest.raises(BadFile, match=r"keys\.json"):
        read_keys(file)


def test_a_missing_file_says_how_to_make_one(file: Path) -> None:
    with pytest.raises(BadFile, match="nearfar keys add"):
        KeyRing(file, pytest.fail)


def test_a_file_with_the_same_name_twice_is_refused(file: Path) -> None:
    add_key(file, "shop", ["read"], at=AT)
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(facts | {"keys": facts["keys"] * 2}))
    with pytest.raises(BadFile, match="one name"):
        read_keys(file)


_ADDING = """
import sys
from pathlib import Path
from nearfar.errors import BadFile
from nearfar.serve.keys import add_key
while True:
    try:
        add_key(Path(sys.argv[1]), sys.argv[2], ["read"], at="now")
        break
    except BadFile:  # somebody else is at it
        pass
"""


def test_of_several_who_add_at_once_no_key_is_lost(file: Path) -> None:
    several = [
        subprocess.Popen([sys.executable, "-c", _ADDING, str(file), f"key{i}"]) for i in range(4)
    ]
    try:
        assert [one.wait(60) for one in several] == [0] * 4
    finally:
        for one in several:
            one.kill()
    assert {key.name for key in read_keys(file)} == {f"key{i}" for i in range(4)}
