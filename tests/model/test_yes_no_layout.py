"""A yes/no reranker is saved with its question: we ask it again, and so do others."""

import json
from pathlib import Path

import pytest
import torch
from tiny import WORDS, tiny_bert, tiny_cross, tiny_llama
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoConfig,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from nearfar.errors import BadModel, BadSetting
from nearfar.model.cross_encoder import CrossEncoder
from nearfar.model.rerankers import RerankerSettings, load_reranker
from nearfar.model.yes_no import YesNoReranker, YesNoSettings
from nearfar.model.yes_no_prompt import PLAIN, QWEN3

ASKED = YesNoSettings(template="ba : {query} be : {document} ? bi :", precision="float32")
PAIRS = [(" ".join(WORDS[i : i + 2]), " ".join(WORDS[i : i + 1 + 5 * i])) for i in range(1, 7)]
PAIRS += [("", "ba"), ("{document}", " ba\n"), ("<s> ba", "")]

# What the other library does on its way.
theirs = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def _letters(folder: Path, *, start: str | None = None) -> Path:
    """A language model of bytes, as the families of GPT-2 and Qwen are, saved without padding."""
    folder.mkdir(exist_ok=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {x: i for i, x in enumerate([*letters, "Ġy", "Ġn", "<s>", "<e>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "y"), ("Ġ", "n")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    if start is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{start} $A", special_tokens=[(start, vocabulary[start])]
        )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<e>", model_max_length=200
    ).save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


def _pieces(folder: Path) -> Path:
    """A language model that reads a space before every text, as the older families of Llama do."""
    _letters(folder)
    known = ["<s>", "<unk>", "<e>", *"▁:?\nabdefgiklmnorsu", "▁y", "▁n", "y"]
    vocabulary = {piece: i for i, piece in enumerate(known)}
    merges = [("▁", "y"), ("▁", "n")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>", eos_token="<e>",
        model_max_length=200,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def scores_of(model: YesNoReranker) -> torch.Tensor:
    places = torch.arange(len(PAIRS))
    queries, documents = zip(*PAIRS, strict=True)
    return model.score_pairs(queries, documents, torch.stack([places, places], dim=1))


def saved(model: YesNoReranker, folder: Path) -> Path:
    folder.mkdir()
    model.save(folder)
    return folder


BYTES = 'Say "y"\\n:\t{query}\n\n{{ 語 é😀 }}{% if %}\r\n{document}\n"?\n'
KINDS = [
    (tiny_llama, ASKED),
    (_letters, YesNoSettings(template=BYTES, yes="y", no="n", precision="float32")),
    (_letters, YesNoSettings(template=BYTES + "A:", yes=" y", no=" n", precision="float32")),
    (_pieces, YesNoSettings(template="d: {document}\nq: {query}?", yes="y", no="n",
                            precision="float32")),
]  # fmt: skip


@theirs
@pytest.mark.parametrize(("kind", "asked"), KINDS)
def test_saved_and_loaded_everyone_says_the_same(kind, asked, tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder as TheirCrossEncoder

    model = YesNoReranker.load(kind(tmp_path / "base"), asked)
    scores = scores_of(model)
    folder = saved(model, tmp_path / "saved")
    loaded = load_reranker(folder, RerankerSettings(precision="float32"))
    assert isinstance(loaded, YesNoReranker)
    assert loaded.fingerprint == model.fingerprint
    torch.testing.assert_close(scores_of(loaded), scores, rtol=0, atol=1e-5)

    found = TheirCrossEncoder(str(folder), device="cpu").predict(PAIRS, show_progress_bar=False)
    torch.testing.assert_close(torch.tensor(found), scores, rtol=0, atol=1e-4)
    assert scores.std() > 0.1

    (folder / "yes_no.json").unlink()  # what they can read, we can too
    mirrored = load_reranker(folder, RerankerSettings(precision="float32"))
    torch.testing.assert_close(scores_of(mirrored), scores, rtol=0, atol=1e-5)
    assert mirrored.max_tokens == model.max_tokens


@theirs
def test_what_they_save_is_asked_as_they_ask_it(tmp_path: Path) -> None:
    from sentence_transformers import CrossEncoder as TheirCrossEncoder
    from sentence_transformers.base.modules.transformer import Transformer
    from sentence_transformers.cross_encoder.modules.logit_score import LogitScore

    base = _letters(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = "<e>"
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role }}] "
        "{{ m.content if m.content is string else m.content[0].text }}\n{% endfor %}"
        "{% if add_generation_prompt %}Answer:{% endif %}"
    )
    tokenizer.save_pretrained(base)
    options = {"chat_template": {"add_generation_prompt": True}}
    transformer = Transformer(
        str(base), transformer_task="text-generation", processing_kwargs=options
    )
    ids = [tokenizer.vocab["Ġy"], tokenizer.vocab["Ġn"]]
    model = TheirCrossEncoder(
        modules=[transformer, LogitScore(*ids)], device="cpu",
        prompts={"web": "Judge the document."}, default_prompt_name="web",
        activation_fn=torch.nn.Identity(),
    )  # fmt: skip
    model.save_pretrained(str(tmp_path / "saved"))
    expected = torch.tensor(model.predict(PAIRS, show_progress_bar=False))
    loaded = load_reranker(tmp_path / "saved", RerankerSettings(precision="float32"))
    assert isinstance(loaded, YesNoReranker)
    assert loaded.prompt.template == (
        "[system] Judge the document.\n[query] {query}\n[document] {document}\nAnswer:"
    )
    assert (loaded.prompt.yes, loaded.prompt.no) == (" y", " n")
    torch.testing.assert_close(scores_of(loaded), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("template", ["{{ messages[0].content }}", "{{ raise_exception('no') }}",
    "{{ messages[0].content | trim }} {{ messages[1].content }}", None])  # fmt: skip
def test_a_chat_that_is_no_question_is_refused(template: str | None, tmp_path: Path) -> None:
    asked = YesNoSettings(template="{query} {document}:", yes="y", no="n")
    folder = saved(YesNoReranker.load(_letters(tmp_path / "base"), asked), tmp_path / "saved")
    (folder / "yes_no.json").unlink()
    path = folder / "chat_template.jinja"
    path.unlink() if template is None else path.write_text(template)
    with pytest.raises(BadModel, match="expected a chat template that puts a query and a document"):
        load_reranker(folder)


def test_where_they_cannot_ask_it_ours_is_written_alone(tmp_path: Path) -> None:
    base = _letters(tmp_path / "base", start="<s>")  # which in a text is three letters
    asked = YesNoSettings(template="{query} {document}:", yes="y", no="n", precision="float32")
    model = YesNoReranker.load(base, asked)
    folder = saved(model, tmp_path / "saved")
    assert {"yes_no.json"} == {p.name for p in folder.iterdir()} & {
        "yes_no.json", "modules.json", "chat_template.jinja", "1_LogitScore"
    }  # fmt: skip
    loaded = load_reranker(folder, RerankerSettings(precision="float32"))
    torch.testing.assert_close(scores_of(loaded), scores_of(model), rtol=0, atol=1e-5)


def test_what_is_asked_for_goes_before_what_the_folder_says(tmp_path: Path) -> None:
    folder = saved(YesNoReranker.load(tiny_llama(tmp_path / "base"), ASKED), tmp_path / "saved")
    plain = load_reranker(folder, RerankerSettings(template="plain"))
    assert isinstance(plain, YesNoReranker)
    assert (plain.prompt.template, plain.prompt.yes) == (PLAIN, " yes")
    other = load_reranker(folder, RerankerSettings(no="ba", max_tokens=40))
    assert isinstance(other, YesNoReranker)
    assert (other.prompt.template, other.prompt.no) == (ASKED.template, "ba")
    assert other.max_tokens == 40
    spaced = load_reranker(folder, RerankerSettings(template="{query}\n{document}\n"))
    assert isinstance(spaced, YesNoReranker)
    assert spaced.prompt.yes == "yes"
    with pytest.raises(
        BadSetting, match=r"holds \{query\} once, or one of plain, qwen3, got 'qwen'"
    ):
        load_reranker(folder, RerankerSettings(template="qwen"))


def test_a_family_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path)
    assert load_reranker(folder).prompt.template == PLAIN  # type: ignore[union-attr]
    config = AutoConfig.for_model("qwen3", **{
        key: getattr(AutoConfig.from_pretrained(folder), key)
        for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
                    "num_attention_heads", "num_key_value_heads")
    }, head_dim=8, max_position_embeddings=256)  # fmt: skip
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    found = load_reranker(folder, RerankerSettings(max_tokens=250))
    assert found.prompt.template == QWEN3  # type: ignore[union-attr]


def test_only_language_models_are_asked(tmp_path: Path) -> None:
    cross = tiny_cross(tmp_path / "cross")
    assert isinstance(load_reranker(cross), CrossEncoder)
    with pytest.raises(BadSetting, match="template is what a language model is asked, but"):
        load_reranker(cross, RerankerSettings(template="plain"))
    llama = tiny_llama(tmp_path / "llama")
    headed = load_reranker(llama, RerankerSettings(new_head=True))
    assert isinstance(headed, CrossEncoder)
    # Within an encoder of texts its words are not what was trained.
    chain = ["Transformer", "Pooling"]
    (llama / "modules.json").write_text(
        json.dumps(
            [{"idx": i, "name": "", "path": "", "type": f"x.{c}"} for i, c in enumerate(chain)]
        )
    )
    with pytest.raises(BadModel):
        load_reranker(llama)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "expected a JSON object, found list"),
        (
            '{"template": "x", "yes": 1}',
            "expected the texts template, yes, no and the whole number",
        ),
    ],
)
def test_a_damaged_question_is_said(content: str, message: str, tmp_path: Path) -> None:
    folder = tiny_llama(tmp_path)
    (folder / "yes_no.json").write_text(content)
    with pytest.raises(BadModel, match=message):
        load_reranker(folder)
    with pytest.raises(BadModel):
        YesNoReranker.load(tiny_bert(tmp_path / "bert"))
