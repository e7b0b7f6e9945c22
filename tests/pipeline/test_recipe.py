"""A recipe says every choice; what it does not know it refuses by name."""

from pathlib import Path

import pytest

from nearfar.errors import BadFile, BadSetting
from nearfar.pipeline.recipe import free_settings, read_recipe

WHOLE = """\
name = "tiny"
[data]
source = "pairs.jsonl"
[data.shares]
test = 0.2
[model]
base = "somewhere"
pooling = ["cls", "mean"]
[training]
epochs = 2
[evaluation]
split = "dev"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "tiny.toml").write_text(WHOLE)
    return tmp_path / "tiny.toml"


def test_what_it_says_is_what_is_set(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.data.shares.test == 0.2
    assert recipe.data.shares.dev == 0.1  # left as it is
    assert recipe.model.pooling == ("cls", "mean")
    assert recipe.training.epochs == 2
    assert recipe.mining is None


def test_the_command_line_has_the_last_word(path: Path) -> None:
    changes = ["training.epochs=3", "mining.depth=9", "name=other", 'data.packages=["a"]']
    recipe = read_recipe(path, changes)
    assert (recipe.training.epochs, recipe.name, recipe.data.packages) == (3, "other", ("a",))
    assert recipe.mining is not None
    assert recipe.mining.depth == 9


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("training.epoch=3", r"training\.epoch is not a setting\. Did you mean 'epochs'\?"),
        ("trainin.epochs=3", r"trainin is not a setting\. Did you mean 'training'\?"),
        ("zzz=3", r"zzz is not a setting\. There are: .*training"),
        ("training.epochs='two'", r"training\.epochs: .*number.*, got 'two'"),
        ("training.epochs=0", r"training\.epochs must be above 0, got 0"),
        ("training.pairs_per_step=2.5", r"training\.pairs_per_step: .*, got 2\.5"),
        ("loss.name=magic", r"loss\.name must be one of infonce, .*got 'magic'"),
        ("loss.temperature=nan", r"loss\.temperature must be above 0, got nan"),
        ("evaluation.split=tset", r"evaluation\.split"),
        ("data.shares.dev=1", r"dev = 1"),
        ("index.storage=int4", r"index\.storage"),
        ("training", "Expected KEY=VALUE"),
        ("name.first=1", "name"),
    ],
)
def test_a_wrong_setting_is_named_with_its_file(path: Path, wrong: str, message: str) -> None:
    with pytest.raises(BadSetting, match=message):
        read_recipe(path, [wrong])


def test_a_setting_without_default_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('name = "x"\n[data]\nsource = "y"\n')
    with pytest.raises(BadSetting, match=r"r\.toml: model is missing"):
        read_recipe(tmp_path / "r.toml")


def test_what_is_no_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none\.toml: cannot read"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(BadSetting, match=r"bad\.toml: expected TOML"):
        read_recipe(tmp_path / "bad.toml")
    (tmp_path / "latin.toml").write_bytes('name = "é"'.encode("latin-1"))
    with pytest.raises(BadSetting, match=r"latin\.toml: expected TOML in UTF-8"):
        read_recipe(tmp_path / "latin.toml")


def test_settings_without_a_recipe_have_defaults() -> None:
    assert free_settings(["training.seed=4"]).training.seed == 4
    assert free_settings([]).evaluation.split == "test"


@pytest.mark.parametrize("recipe", sorted(Path().glob("**/recipes/*.toml")), ids=str)
def test_the_recipes_that_come_along_can_be_read(recipe: Path) -> None:
    assert read_recipe(recipe).name == recipe.stem


def test_none_is_a_word_where_a_setting_can_be_none() -> None:
    changes = ["mining.relative_margin=none", "training.dropout=none", "training.together_by=none"]
    found = free_settings(changes)
    assert found.mining is not None
    assert found.mining.relative_margin is None
    assert found.training.dropout is None
    assert found.training.together_by == "none"  # here it may be a name
    with pytest.raises(BadSetting, match=r"training\.seed"):
        free_settings(["training.seed=none"])
