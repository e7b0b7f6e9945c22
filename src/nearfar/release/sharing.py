"""Released models where others look for them: the 🤗 hub, and MLflow's model registry."""

import importlib
import re
from pathlib import Path
from typing import Any

from nearfar.errors import BadFile, BadSetting, said
from nearfar.release.records import Release

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def require_hub(repository: str) -> None:
    """Refuse a push that could not succeed, before anything is released.

    Raises:
        BadSetting: the name is not ORG/NAME, or nobody is logged in.
    """
    from huggingface_hub import get_token

    if not _REPOSITORY.fullmatch(repository):
        raise BadSetting(f"Expected a repository of the hub as ORG/NAME, found {repository!r}.")
    if get_token() is None:
        raise BadSetting(
            f"Expected a token to push to {repository}, found none. Log in with `hf auth login`, "
            "or put a token that may write into HF_TOKEN."
        )


def push_to_hub(folder: Path, release: Release, repository: str, *, public: bool = False) -> str:
    """Upload a fetched model as one commit, and tag it with the version; return its address.

    Args:
        folder: as `fetch` fills it.
        release: that it is a copy of.
        repository: ORG/NAME; made if it is not there.
        public: whether a new repository can be seen by everyone. One that is there already stays
            as it is.

    Raises:
        BadFile: the hub refused.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    hub = HfApi()
    try:
        hub.create_repo(repository, repo_type="model", private=not public, exist_ok=True)
        # Not upload_folder: it may divide a large folder into several commits.
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        done = hub.create_commit(
            repository,
            [CommitOperationAdd(one.relative_to(folder).as_posix(), one) for one in files],
            commit_message=f"{release.name} {release.version[:12]}",
        )
        hub.create_tag(repository, tag=release.version[:12], revision=done.oid, exist_ok=True)
    except Exception as error:  # of the hub, of the library, and of whoever carries its requests
        raise BadFile(
            f"{repository}: expected the hub to take the release, found {said(error)}. It stands "
            "in the registry; see that the hub can be reached, that your token may write there "
            "(`hf auth whoami`), and run the same command again."
        ) from error
    return str(done.commit_url)


def require_mlflow() -> None:
    """Refuse MLflow where it is not installed, before anything is released.

    Raises:
        BadSetting: says how to install it.
    """
    try:  # not find_spec(): a folder of that name beside the recipe would do for it
        importlib.import_module("mlflow.exceptions")
    except ImportError as error:
        raise BadSetting(
            f"Expected the library mlflow for --mlflow, found none that can be used ({error}). "
            "Install it with `pip install mlflow`."
        ) from error


def push_to_mlflow(folder: Path, release: Release, uri: str, *, alias: str) -> str:
    """Register a fetched model in MLflow with its measures; return its name and version there.

    Args:
        folder: as `fetch` fills it; it becomes the artifact `model` of a run.
        release: that it is a copy of.
        uri: of the tracking server, or of a local store.
        alias: that the version gets there too.

    Raises:
        BadFile: MLflow refused.
    """
    from mlflow import MlflowClient  # type: ignore[import-not-found]
    from mlflow.exceptions import MlflowException  # type: ignore[import-not-found]

    tags = {"nearfar.version": release.version, "nearfar.space": release.space,
            "nearfar.dataset": release.dataset, "nearfar.outcome": release.outcome}  # fmt: skip
    if release.reranker:
        tags["nearfar.reranker"] = release.reranker
    try:
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        found: Any = client.get_experiment_by_name(release.name)
        experiment = client.create_experiment(release.name) if found is None else (
            found.experiment_id
        )  # fmt: skip
        run = client.create_run(experiment, run_name=release.version[:12], tags=tags)
        for metric, numbers in release.measures.items():
            client.log_metric(run.info.run_id, metric, numbers["mean"])
        client.log_artifacts(run.info.run_id, str(folder), artifact_path="model")
        client.set_terminated(run.info.run_id)
        if not client.search_registered_models(filter_string=f"name = '{release.name}'"):
            client.create_registered_model(release.name)
        new = client.create_model_version(
            release.name, f"{run.info.artifact_uri}/model", run_id=run.info.run_id, tags=tags,
            description=f"{release.name} {release.version}",
        )  # fmt: skip
        client.set_registered_model_alias(release.name, alias, new.version)
    except (MlflowException, OSError, ValueError) as error:
        raise BadFile(
            f"{uri}: expected MLflow to take the release, found {said(error)}. It stands in the "
            "registry; mend what MLflow names, and run the same command again."
        ) from error
    return f"{release.name} version {new.version}"
