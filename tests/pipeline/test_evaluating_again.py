"""A folder that is evaluated into again holds nothing of an earlier report."""

from pathlib import Path

from doubles import LetterEncoder
from tiny import tiny_dataset

from nearfar.evaluation.scores import read_scores
from nearfar.evaluation.settings import Evaluation
from nearfar.pipeline.evaluating import evaluate_into


def test_scores_of_an_earlier_base_do_not_stay_beside_a_model_alone(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "data", pairs=40)
    encoder, settings = LetterEncoder(), Evaluation(map_points=10)
    evaluate_into(tmp_path / "out", dataset, (encoder, encoder), settings, names=("old", "new"))
    assert read_scores(tmp_path / "out/base-scores").system == "old"
    evaluate_into(tmp_path / "out", dataset, (encoder, None), settings, names=("alone", ""))
    assert read_scores(tmp_path / "out/scores").system == "alone"
    assert not (tmp_path / "out/base-scores").exists()
