"""A language model that says yes or no learns as a cross-encoder does, from the same trainer."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from looking import furthest, losses_of, steps_of, weights_of
from tiny import WORDS, tiny_llama
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
)
from typer.testing import CliRunner

from nearfar.cli import app
from nearfar.data.dataset import Dataset
from nearfar.data.writer import write_dataset
from nearfar.errors import BadFile, BadSetting, Stopped
from nearfar.losses import LossSettings
from nearfar.losses.reranking import RERANKING_LOSSES, RerankingLossSettings
from nearfar.model.yes_no import YesNoReranker, YesNoSettings
from nearfar.pipeline.recipe import read_recipe
from nearfar.records import Document, Judgment, Origin, Query
from nearfar.training.course import Task, open_course
from nearfar.training.learner import Learner
from nearfar.training.settings import Lora, Training
from nearfar.training.train import Hooks, TrainingResult, train

TEMPLATE = "ba : {query} be : {document} ? bi :"
ASKED = YesNoSettings(template=TEMPLATE, precision="float32")
SETTINGS = Training(pairs_per_step=8, epochs=3, checks=3, learning_rate=2e-3, strangers_per_query=0)
LOSS = RerankingLossSettings(name="listwise_softmax")

# PEFT asks transformers by an old name, and misses the pooler of other families.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning",
    "ignore:You have passed exclude_modules",
)


def _tied(folder: Path) -> Path:
    """A model that says words with the weights that it reads them with."""
    tiny_llama(folder)
    config = AutoConfig.from_pretrained(folder, tie_word_embeddings=True)
    model = LlamaForCausalLM(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


def _gpt2(folder: Path) -> Path:
    """A model with learned positions, which padding must not move, and with dropout."""
    tiny_llama(folder)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=len(AutoTokenizer.from_pretrained(folder)), n_positions=96, n_embd=32,
                   n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0)
    )  # fmt: skip
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Each query has an answer, two judged negatives and a teacher's scores; one word tells."""
    folder = tmp_path_factory.mktemp("judged") / "d"
    with write_dataset(folder, licence="CC0-1.0", parents=[]) as writer:
        for i in range(64):
            words = [WORDS[(i * k + k + 9) % 90] for k in range(2 + i % 11)]
            sign = "ba" if i < 32 else "do"
            writer.add_document(Document(id=f"d{i}", content=" ".join([sign, *words])))
        for i in range(32):
            writer.add_query(Query(id=f"q{i}", content=f"{WORDS[i + 9]} {WORDS[40 + i]}"))
            for place, other in enumerate((i, 32 + (i + 5) % 32, 32 + (i + 9) % 32)):
                writer.add_judgment(
                    Judgment(
                        query_id=f"q{i}", document_id=f"d{other}", grade=float(place == 0),
                        origin=Origin(kind="human", source=f"f:{i}"), split="train",
                        score=3.0 - place,
                    )
                )  # fmt: skip
    return Dataset.open(folder)


@pytest.mark.parametrize(("chunk", "memory"), [(10_000, 2_048), (60, 1)])
@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, tiny_llama) for name in RERANKING_LOSSES), ("ranknet", _tied), ("ranknet", _gpt2)],
)
def test_gradients_are_those_of_a_plain_loop(
    judged: Dataset,
    tmp_path: Path,
    name: str,
    kind: Callable[[Path], Path],
    chunk: int,
    memory: int,
) -> None:
    folder, loss = kind(tmp_path / "model"), RerankingLossSettings(name=name)
    model = YesNoReranker.load(folder, ASKED)
    settings = replace(SETTINGS, tokens_per_chunk=chunk, memory_mb=memory)
    course = open_course(tmp_path, [Task(dataset=judged, loss=loss)], settings, model.tokens)
    learner, batch = Learner(model, [loss], settings, course.steps), course[0][1]
    learned = learner.learn(0, (0, 0, 1), batch, course.stores[0])

    # The whole of it without any of our code but the loss: one question at a time, all words.
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()  # our runs have no dropout
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = {i: one.content for i, one in enumerate([*judged.queries(), *judged.documents()])}
    edges, scores = batch.edges, []
    for q, d in zip(edges.query, edges.document, strict=True):
        query = texts[int(batch.texts[batch.query[q]])]
        document = texts[int(batch.texts[batch.document[d]])]
        ids = tokenizer(TEMPLATE.format(query=query, document=document), return_tensors="pt")
        last = plain(ids.input_ids).logits[0, -1]
        scores.append(last[tokenizer.vocab["yes"]] - last[tokenizer.vocab["no"]])
    said = torch.stack(scores)
    value = RERANKING_LOSSES[name](said, edges)
    value.backward()

    assert len(said) == 24  # an answer and two negatives for each of 8 queries
    assert learned.loss == pytest.approx(value.item(), rel=1e-4, abs=1e-5)
    torch.testing.assert_close(learned.outputs[:, 0], said.detach(), rtol=1e-4, atol=1e-5)
    theirs = {key: weight.grad for key, weight in plain.named_parameters()}
    for key, weight in model.network.transformer.named_parameters():
        assert weight.grad is not None, key
        torch.testing.assert_close(weight.grad, theirs[key], rtol=1e-3, atol=1e-5)


@pytest.fixture
def go(llama: Path, judged: Dataset) -> Callable[..., TrainingResult]:
    def go(
        folder: Path, hooks: Hooks | None = None, asked: YesNoSettings = ASKED, **changes: object
    ) -> TrainingResult:
        settings = replace(SETTINGS, **changes)  # type: ignore[arg-type]
        model = YesNoReranker.load(llama, asked)
        return train(model, Task(dataset=judged, loss=LOSS), folder, settings, hooks)

    return go


def test_it_learns_to_put_the_answer_first_and_is_saved_with_its_question(
    go: Callable[..., TrainingResult], judged: Dataset, tmp_path: Path
) -> None:
    result = go(tmp_path, epochs=8)
    steps = steps_of(tmp_path)
    assert steps[-1]["loss"] < 0.3 * steps[0]["loss"]
    assert steps[-1]["ordered_share"] > 0.95 > steps[0]["ordered_share"]
    assert result.truncated == {"query": 0, "document": 0}
    tuned = YesNoReranker.load(result.model, YesNoSettings(precision="float32"))
    assert tuned.prompt.template == TEMPLATE
    facts = json.loads((result.model / "nearfar.json").read_text())
    assert facts["reranker"] == tuned.fingerprint
    documents = [one.content for one in judged.documents()]
    for i, query in enumerate(list(judged.queries())[:8]):
        own, *others = tuned.score(
            query.content, [documents[j] for j in (i, 32 + (i + 5) % 32, 32 + (i + 9) % 32)]
        )
        assert own > max(others)


def test_a_run_that_was_stopped_ends_as_if_it_had_not(
    go: Callable[..., TrainingResult], tmp_path: Path
) -> None:
    whole = go(tmp_path / "whole", dropout=0.1)
    asked = iter(range(100))
    with pytest.raises(Stopped):
        go(tmp_path / "parts", Hooks(stop=lambda: next(asked) == 4), dropout=0.1)
    with pytest.raises(BadFile, match="expected the checkpoint of this run"):
        go(tmp_path / "parts", asked=replace(ASKED, template=TEMPLATE + " bu"), dropout=0.1)
    parts = go(tmp_path / "parts", dropout=0.1)
    assert furthest(weights_of(whole.model), weights_of(parts.model)) == 0
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "parts")
    other = go(tmp_path / "other", dropout=0.0)
    assert furthest(weights_of(whole.model), weights_of(other.model)) > 1e-4  # it can fail


def test_adapters_learn_and_end_in_the_weights(
    go: Callable[..., TrainingResult], llama: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    looked: list[set[str]] = []

    def check(model: YesNoReranker) -> dict[str, float]:
        named = model.network.named_parameters()
        looked.append({name for name, weight in named if weight.requires_grad})
        return {"score": float(model.score(WORDS[0], [WORDS[1]])) + len(looked) * 1e3}

    changes = {"lora": Lora(rank=4, alpha=8), "learning_rate": 1e-2}
    result = go(tmp_path / "a", Hooks(check=check), **changes)
    assert all("lora_" in name for name in looked[0])
    assert len(looked[0]) == 2 * 7 * 2  # two layers of seven matrices, but not the words
    before, after = weights_of(llama), weights_of(result.model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert len(moved) == 14
    assert not any("embed" in name or "head" in name or "norm" in name for name in moved)
    assert losses_of(tmp_path / "a")[-1] < losses_of(tmp_path / "a")[0]
    # Layers computed twice change nothing.
    twice = go(tmp_path / "b", Hooks(check=check), gradient_checkpointing=True, **changes)
    assert furthest(after, weights_of(twice.model)) < 1e-5


def test_a_text_that_no_question_can_hold_is_counted(
    go: Callable[..., TrainingResult], judged: Dataset, tmp_path: Path
) -> None:
    result = go(tmp_path, asked=replace(ASKED, max_tokens=18), max_steps=1)
    assert result.truncated["query"] == 0
    places = 18 - len(["<s>", *TEMPLATE.split()]) + 2
    long = [one for one in judged.documents() if len(one.content.split()) > places]
    assert result.truncated["document"] == len(long) > 9


def test_a_loss_of_vectors_is_refused(llama: Path, judged: Dataset, tmp_path: Path) -> None:
    model = YesNoReranker.load(llama, ASKED)
    with pytest.raises(BadSetting, match="scores of pairs"):
        train(model, Task(dataset=judged, loss=LossSettings()), tmp_path, SETTINGS)


def test_a_recipe_says_what_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        'name = "r"\n[data]\nsource = "s"\n[model]\nbase = "b"\n[cross_encoder]\nbase = "llm"\n'
        'template = """Is {document} of use\nfor {query}?"""\nyes = " true"\nno = " false"\n'
    )
    chosen = read_recipe(path).cross_encoder
    assert chosen is not None
    assert chosen.template == "Is {document} of use\nfor {query}?"
    assert (chosen.yes, chosen.no) == (" true", " false")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--template", "plain"], "--template and --words are of rerankers"),
        (["--cross-encoder", "--template", "qwen"], "one of plain, qwen3, got 'qwen'"),
        (["--cross-encoder", "--words", "yes", "never"], "no must be a word that is one token"),
    ],
)
def test_a_question_that_cannot_be_put_is_refused_before_anything_is_made(
    options: list[str], message: str, llama: Path, judged: Dataset, tmp_path: Path
) -> None:
    command = ["train", str(judged.folder), str(tmp_path / "run"), "--model", str(llama)]
    with pytest.raises(BadSetting, match=message):
        CliRunner().invoke(app, [*command, *options], catch_exceptions=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_two_processes_train_it_together(llama: Path, judged: Dataset, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    YesNoReranker.load(llama, ASKED).save(tmp_path / "model" / "llama")
    command = ["-m", "nearfar", "train", str(judged.folder), "RUN", "--cross-encoder",
               "--model", str(tmp_path / "model" / "llama"), "--set", "training.max_steps=4",
               "--set", "training.pairs_per_step=8", "--set", "training.tokens_per_chunk=60",
               "--set", "training.learning_rate=0.002"]  # fmt: skip
    for processes in (1, 2):
        start = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone",
                                           "--nproc-per-node", "2"]  # fmt: skip
        run = [part.replace("RUN", str(tmp_path / f"run{processes}")) for part in command]
        done = subprocess.run(
            [sys.executable, *start, *run], capture_output=True, text=True, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    alone, together = losses_of(tmp_path / "run1"), losses_of(tmp_path / "run2")
    assert together == pytest.approx(alone, rel=1e-3)
    found, expected = (weights_of(tmp_path / run / "model") for run in ("run2", "run1"))
    assert furthest(found, expected) < 1e-3
