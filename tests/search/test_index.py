"""An index stands whole or not at all, and says what is wrong with it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from doubles import LETTERS, LetterEncoder
from torch import Tensor

from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadModel, BadSetting, NearfarError
from nearfar.progress import Progress, silent
from nearfar.records import Document, Judgment, Origin, Query, Role
from nearfar.search import index as module
from nearfar.search.index import build_index, open_index
from nearfar.search.vectors_file import open_vectors, write_vectors
from nearfar.vectors.similarity import unit

TEXTS = ("a cat", "the dog", "blue sky", "zebra crossing", "jazz quiz")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    with write_dataset(tmp_path / "data", licence="CC0-1.0", parents=[]) as writer:
        for place, text in enumerate(TEXTS):
            fields = {"language": "en", "year": 2000 + place}
            writer.add_document(
                Document(id=f"d{place}", content=text, source=f"t:{place}", fields=fields)
            )
        writer.add_query(Query(id="q", content="cat"))
        origin = Origin(kind="human", source="t:9")
        writer.add_judgment(Judgment(query_id="q", document_id="d0", grade=1, origin=origin))
    return Dataset.open(tmp_path / "data")


class Unwell(LetterEncoder):
    """Answers `chunks` times as it should, and then with what it is given."""

    def __init__(self, chunks: int, then: Tensor | BaseException) -> None:
        super().__init__()
        self.chunks, self.then = chunks, then

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        self.chunks -= 1
        if self.chunks >= 0:
            return super().encode(contents, role)
        if isinstance(self.then, BaseException):
            raise self.then
        return self.then


def test_every_document_comes_back_with_all_it_came_with(dataset: Dataset, tmp_path: Path) -> None:
    index = build_index(LetterEncoder(), dataset, tmp_path / "index")
    found = index.documents.fetch(range(len(index)))
    assert list(found.values()) == list(dataset.documents())
    assert found[3].source == "t:3"
    assert found[3].fields == {"language": "en", "year": 2003}


@pytest.mark.parametrize("rows_per_chunk", [1, 2, 5, 100])
def test_the_size_of_a_chunk_changes_nothing(
    rows_per_chunk: int, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS_PER_CHUNK", rows_per_chunk)
    index = build_index(LetterEncoder(), dataset, tmp_path / "index")
    torch.testing.assert_close(index.vectors, LetterEncoder().encode(TEXTS, "document"))
    assert [one.content for one in index.documents.fetch(range(5)).values()] == list(TEXTS)


def test_progress_is_told_up_to_the_last_document(dataset: Dataset, tmp_path: Path) -> None:
    told = []
    build_index(
        LetterEncoder(),
        dataset,
        tmp_path / "index",
        progress=lambda what, done, total, note="": told.append((done, total)),
    )
    assert told[-1] == (5, 5)


def test_the_space_and_the_dataset_are_written_beside_the_vectors(
    dataset: Dataset, tmp_path: Path
) -> None:
    build_index(LetterEncoder(), dataset, tmp_path / "index")
    index = open_index(tmp_path / "index")
    assert index.space == LETTERS
    assert index.facts["dataset"]["digest"] == dataset.digest
    assert index.facts["similarity"] == "cosine"


def test_how_an_encoder_computed_is_kept_where_it_says(dataset: Dataset, tmp_path: Path) -> None:
    encoder = LetterEncoder()
    assert build_index(encoder, dataset, tmp_path / "unsaid").facts["precision"] == ""
    encoder.precision = torch.bfloat16  # type: ignore[attr-defined]
    assert build_index(encoder, dataset, tmp_path / "said").facts["precision"] == "bfloat16"


class Long(LetterEncoder):
    """Its vectors are not of length 1."""

    def encode(self, contents: Sequence[str], role: Role, *, progress: Progress = silent) -> Tensor:
        return 7 * super().encode(contents, role)


def test_vectors_of_any_length_are_kept_as_directions(dataset: Dataset, tmp_path: Path) -> None:
    long = Long(replace(LETTERS, normalised=False))
    index = build_index(long, dataset, tmp_path / "index")
    torch.testing.assert_close(index.vectors.norm(dim=1), torch.ones(5))


def test_float16_takes_half_the_room_and_hardly_moves_a_vector(
    dataset: Dataset, tmp_path: Path
) -> None:
    full = build_index(LetterEncoder(), dataset, tmp_path / "full")
    half = build_index(LetterEncoder(), dataset, tmp_path / "half", storage="float16")
    assert half.vectors.dtype == torch.float16
    cosines = (unit(half.vectors) * full.vectors).sum(dim=1)
    assert cosines.min() > 0.9999
    sizes = [(tmp_path / name / "vectors.safetensors").stat().st_size for name in ("full", "half")]
    assert sizes[0] - sizes[1] == 5 * 26 * 2


@pytest.mark.parametrize(
    ("then", "error"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (torch.full((2, 26), float("nan")), BadModel),
        (torch.zeros(2, 25), BadModel),
        (torch.ones(1, 26), BadFile),
    ],
)
def test_a_build_that_breaks_in_the_middle_leaves_nothing(
    then: Tensor | BaseException,
    error: type[BaseException],
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_ROWS_PER_CHUNK", 2)
    before = set(tmp_path.iterdir())
    with pytest.raises(error):
        build_index(Unwell(1, then), dataset, tmp_path / "index")
    assert set(tmp_path.iterdir()) == before


def test_a_build_that_breaks_leaves_the_index_that_stood_there(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_index(LetterEncoder(), dataset, tmp_path / "index")
    monkeypatch.setattr(module, "_ROWS_PER_CHUNK", 2)
    broken = Unwell(1, RuntimeError("out of memory"))
    with pytest.raises(RuntimeError, match="out of memory"):
        build_index(broken, dataset, tmp_path / "index", replace=True)
    assert len(open_index(tmp_path / "index")) == 5


def test_an_index_is_not_overwritten_unasked(dataset: Dataset, tmp_path: Path) -> None:
    build_index(LetterEncoder(), dataset, tmp_path / "index")
    with pytest.raises(BadFile, match="exists already"):
        build_index(LetterEncoder(), dataset, tmp_path / "index")
    other = LetterEncoder(replace(LETTERS, weights="others"))
    build_index(other, dataset, tmp_path / "index", replace=True)
    assert open_index(tmp_path / "index").space == other.space


def test_a_folder_that_is_no_index_is_never_replaced(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="something else"):
        build_index(LetterEncoder(), dataset, dataset.folder, replace=True)
    assert dataset.folder.is_dir()


def test_an_open_index_outlives_its_replacement(dataset: Dataset, tmp_path: Path) -> None:
    old = build_index(LetterEncoder(), dataset, tmp_path / "index")
    other = LetterEncoder(replace(LETTERS, weights="others"))
    build_index(other, dataset, tmp_path / "index", replace=True)
    assert old.documents.fetch([2])[2].content == "blue sky"
    torch.testing.assert_close(old.vectors, LetterEncoder().encode(TEXTS, "document"))


def test_an_unknown_storage_is_refused_with_the_choices(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="float32, float16, got 'int8'"):
        build_index(LetterEncoder(), dataset, tmp_path / "index", storage="int8")  # type: ignore[arg-type]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _change(path: Path, **facts: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


@pytest.mark.parametrize("name", ["vectors.safetensors", "documents.parquet", "index.json"])
@pytest.mark.parametrize("harm", [_cut, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_file_that_is_missing_or_cut_short_is_one_message(
    name: str, harm: object, dataset: Dataset, tmp_path: Path
) -> None:
    build_index(LetterEncoder(), dataset, tmp_path / "index")
    harm(tmp_path / "index" / name)  # type: ignore[operator]
    with pytest.raises(BadFile, match=rf"{name}.* cannot be read .*`nearfar index`"):
        open_index(tmp_path / "index")


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"count": 6}, "says vectors: 6, and its files hold 5"),
        ({"storage": "float16"}, "storage: torch.float16, and its files hold torch.float32"),
        ({"storage": None}, "storage"),
        ({"format": 99}, "expected format 1, found 99"),
        ({"space": None}, "space is missing"),
        ({"space": LETTERS.truncated(25).to_json()}, "dimensions: 25, and its files hold 26"),
        ({"space": LETTERS.to_json() | {"pooling": "cls"}}, "changed by hand"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    facts: dict[str, object], message: str, dataset: Dataset, tmp_path: Path
) -> None:
    build_index(LetterEncoder(), dataset, tmp_path / "index")
    _change(tmp_path / "index" / "index.json", **facts)
    with pytest.raises(BadFile, match=message):
        open_index(tmp_path / "index")


def test_documents_of_another_index_are_noticed_by_their_number(
    dataset: Dataset, tmp_path: Path
) -> None:
    build_index(LetterEncoder(), dataset, tmp_path / "index")
    queries = (dataset.folder / "queries.parquet").read_bytes()
    (tmp_path / "index" / "documents.parquet").write_bytes(queries)
    with pytest.raises(BadFile, match="says documents: 5, and its files hold 1"):
        open_index(tmp_path / "index")


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NearfarError, match="no such index folder"):
        open_index(tmp_path / "index")


def test_opening_does_not_read_the_vectors(tmp_path: Path) -> None:
    # 64 GiB of zeros that take no room on the disk: reading or copying them would not end well.
    rows, size = 1 << 28, 1 << 36
    part = {"dtype": "F32", "shape": [rows, 64], "data_offsets": [0, size]}
    header = json.dumps({"vectors": part}).encode()
    with (tmp_path / "vectors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)
    assert open_vectors(tmp_path / "vectors")[rows - 1].sum() == 0


def test_a_number_too_large_for_float16_is_refused_with_its_row(tmp_path: Path) -> None:
    vectors = torch.zeros(3, 2)
    vectors[2, 1] = 1e6
    with (
        pytest.raises(BadModel, match=r"row 2 .* float16"),
        write_vectors(tmp_path / "vectors", (3, 2), "float16") as add,
    ):
        add(vectors)


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    vectors = torch.randn(7, 5)
    with write_vectors(tmp_path / "ours", (7, 5), "float32") as add:
        add(vectors[:3])
        add(vectors[3:])
    save_file({"vectors": vectors}, tmp_path / "theirs")
    assert torch.equal(load_file(tmp_path / "ours")["vectors"], vectors)
    assert torch.equal(open_vectors(tmp_path / "theirs"), vectors)
