"""Run by a test in a process of its own, which the server of the test kills in the middle."""

import sys
from pathlib import Path

from llm_server import llm
from town import synthesis

from nearfar.data.dataset import Dataset
from nearfar.llm.endpoints import open_endpoint
from nearfar.synthesis.synthesise import Run, synthesise


def main(address: str, data: str, folder: str) -> None:
    settings = synthesis(llm(address, concurrency=4))
    assert settings.llm is not None
    with open_endpoint(settings.llm, None) as endpoint:
        synthesise(Dataset.open(Path(data)), Path(folder), settings, Run(endpoint=endpoint))


if __name__ == "__main__":
    main(*sys.argv[1:])
