"""Reloading: another version takes over while requests run; what does not work is refused."""

import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from releases_shelf import ALIAS, NAME, promote, put
from running import Lines, running

from nearfar.errors import BadFile, BadSetting
from nearfar.release.places import open_place
from nearfar.serve.metrics import Metrics
from nearfar.serve.reload import Follower, first_offer
from nearfar.serve.run import Opened, build
from nearfar.serve.served import Offer, Serving
from nearfar.serve.settings import ServerSettings
from nearfar.serve.sources import Source

SOURCE = Source(kind="model", name="shop", where=f"registry:{ALIAS}")


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    registry = tmp_path_factory.mktemp("shelf") / "registry"
    return registry, put(registry, 1), put(registry, 2)


@dataclass
class World:
    """A registry whose alias means the first of two versions, and a server that follows it."""

    registry: Path
    versions: tuple[str, str]
    follower: Follower
    lines: Lines
    outcomes: list[tuple[str, str]]
    now: list[float]

    @property
    def space(self) -> str:
        return self.follower.serving.offer.models["shop"].space.fingerprint

    def file(self, version: str, path: str) -> Path:
        return self.registry / "models" / NAME / version / path


@pytest.fixture
def world(two_versions: tuple[Path, str, str], tmp_path: Path) -> World:
    shelf, first, second = two_versions
    registry = tmp_path / "registry"
    shutil.copytree(shelf, registry)
    promote(registry, first)
    return world_of(registry, (first, second), tmp_path / "cache")


def world_of(registry: Path, versions: tuple[str, str], cache: Path) -> World:
    lines, outcomes, now = Lines(), [], [0.0]
    follower = Follower(
        Serving(Offer(models={})), open_place(str(registry)), cache, lines.log,
        lambda model, outcome: outcomes.append((model, outcome)), clock=lambda: now[0],
    )  # fmt: skip
    follower.serving.swap(first_offer([SOURCE], follower))
    return World(registry, versions, follower, lines, outcomes, now)


def test_nothing_happens_until_the_alias_means_another_version(world: World) -> None:
    offer = world.follower.serving.offer
    world.follower.look()
    assert world.follower.serving.offer is offer
    assert world.outcomes == []


def test_another_version_takes_over_and_the_former_offer_still_serves(world: World) -> None:
    before, offer = world.space, world.follower.serving.offer
    promote(world.registry, world.versions[1])
    world.follower.look()
    assert world.space != before
    assert world.outcomes == [("shop", "swapped")]
    (row,) = world.lines.of("reload")
    assert (row["before"], row["version"]) == world.versions
    assert offer.models["shop"].encoder.encode(["ba"], "query").shape == (1, 32)
    promote(world.registry, world.versions[0])  # and back
    world.follower.look()
    assert world.space == before


def test_a_release_that_was_changed_is_refused_and_the_old_one_stays(world: World) -> None:
    before = world.space
    with world.file(world.versions[1], "model/config.json").open("a") as file:
        file.write(" ")
    promote(world.registry, world.versions[1])
    for _ in range(3):
        world.follower.look()
    assert world.space == before
    assert world.outcomes == [("shop", "refused")]  # once, not at each look
    assert "SHA-256" in world.lines.of("reload")[0]["reason"]
    assert world.lines.of("reload")[0]["still"] == world.versions[0]
    promote(world.registry, put(world.registry, 3))
    world.follower.look()
    assert world.outcomes[-1] == ("shop", "swapped")


def test_what_was_refused_is_tried_again_after_a_while(world: World) -> None:
    file = world.file(world.versions[1], "model/config.json")
    sound = file.read_bytes()
    file.write_bytes(sound + b" ")
    promote(world.registry, world.versions[1])
    world.follower.look()
    file.write_bytes(sound)
    world.follower.look()
    assert world.outcomes == [("shop", "refused")]
    world.now[0] += 601
    world.follower.look()
    assert world.outcomes[-1] == ("shop", "swapped")


def test_a_registry_that_cannot_be_read_ends_nothing(world: World) -> None:
    before = world.space
    names = world.registry / "models" / NAME / "aliases"
    (names / "99999999.json").write_text("{")
    world.follower.look()
    assert world.space == before
    assert world.outcomes == [("shop", "unreachable")]
    (names / "99999999.json").unlink()
    promote(world.registry, world.versions[1])
    world.follower.look()
    assert world.outcomes[-1] == ("shop", "swapped")


def test_a_version_that_was_fetched_before_is_not_fetched_again(world: World) -> None:
    shutil.rmtree(world.file(world.versions[0], "model"))
    again = world_of(world.registry, world.versions, world.follower.cache)
    assert again.space == world.space


def test_a_fetched_version_that_was_damaged_is_fetched_again(world: World) -> None:
    cached = world.follower.cache / NAME / world.versions[0] / "model.safetensors"
    cached.write_bytes(cached.read_bytes()[:-1])
    assert world_of(world.registry, world.versions, world.follower.cache).space == world.space


def test_the_cache_does_not_grow_without_end(world: World) -> None:
    for seed in (3, 4, 5):
        promote(world.registry, put(world.registry, seed))
        world.follower.look()
    assert len(list((world.follower.cache / NAME).iterdir())) == 3
    assert [outcome for _, outcome in world.outcomes] == ["swapped"] * 3


def test_at_the_start_there_is_nothing_to_fall_back_on(world: World) -> None:
    with pytest.raises(BadFile, match="staging"):
        world.follower.first(Source(kind="model", name="shop", where="registry:staging"))
    with pytest.raises(BadSetting, match="--registry"):
        first_offer([SOURCE], None)


def ask(client: httpx.Client, address: str) -> np.ndarray:
    body = {"model": "shop", "input": ["ba de", "fel"], "encoding_format": "float"}
    answer = client.post(f"{address}/v1/embeddings", json=body)
    assert answer.status_code == 200, answer.text
    return np.array([row["embedding"] for row in answer.json()["data"]])


def test_a_reload_under_load_drops_no_request_and_mixes_nothing(
    world: World, tmp_path: Path
) -> None:
    settings = ServerSettings(sources=(SOURCE,), cache=tmp_path)
    serving, lines = world.follower.serving, Lines()
    app, _ = build(settings, Opened(serving=serving), None, lines.log, Metrics())
    ends, found, troubles = threading.Event(), [], []

    def many(address: str) -> None:
        with httpx.Client(timeout=20) as client:
            while not ends.is_set():
                try:
                    found.append(ask(client, address))
                except Exception as error:  # told to the test, whose thread this is not
                    troubles.append(error)
                    return

    with running(app) as address, httpx.Client(timeout=20) as client:
        old = ask(client, address)
        threads = [threading.Thread(target=many, args=(address,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        promote(world.registry, world.versions[1])
        world.follower.look()
        new = ask(client, address)
        for _ in range(500):
            ask(client, address)
            if np.allclose(found[-1], new, atol=1e-5):
                break
        ends.set()
        for thread in threads:
            thread.join(20)
    assert troubles == []
    assert np.abs(old - new).max() > 0.01
    of_old = [bool(np.allclose(one, old, atol=1e-5)) for one in found]
    of_new = [bool(np.allclose(one, new, atol=1e-5)) for one in found]
    assert all(a != b for a, b in zip(of_old, of_new, strict=True))  # never half of each
    assert any(of_old)
    assert any(of_new)
    assert {row["status"] for row in lines.of("request")} == {200}
