"""A language model asked yes or no says of each pair what it says of the pair alone."""

from pathlib import Path

import pytest
import torch
from tiny import WORDS, tiny_bert, tiny_llama
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
)

from nearfar.errors import BadModel, BadSetting
from nearfar.model.reranker import Reranker
from nearfar.model.yes_no import YesNoReranker, YesNoSettings
from nearfar.model.yes_no_prompt import PLAIN, QWEN3, YesNoPrompt

TEMPLATE = "ba : {query} be : {document} ? bi :"
EXACT = YesNoSettings(template=TEMPLATE, yes="yes", no="no", precision="float32")
QUERIES = [" ".join(WORDS[i : i + 1 + 3 * i]) for i in range(4)]
DOCUMENTS = [" ".join(WORDS[i : i + 1 + 17 * i % 70]) for i in range(1, 9)] + ["", "unknown"]
PAIRS = torch.cartesian_prod(torch.arange(len(QUERIES)), torch.arange(len(DOCUMENTS)))


def _gpt2(folder: Path) -> Path:
    """A language model with learned positions: padding on the left would move them."""
    tiny_llama(folder)
    vocabulary = len(AutoTokenizer.from_pretrained(folder))
    config = GPT2Config(vocab_size=vocabulary, n_positions=96, n_embd=32, n_layer=2, n_head=4,
                        bos_token_id=0, eos_token_id=0)  # fmt: skip
    model = GPT2LMHeadModel(config)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llama(tmp_path_factory.mktemp("llama"))


def _slow(folder: Path, query: str, document: str) -> float:
    """By other means: one prompt, no padding, all logits."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer(TEMPLATE.format(query=query, document=document), return_tensors="pt").input_ids
    with torch.no_grad():
        last = model(ids).logits[0, -1]
    return float(last[tokenizer.vocab["yes"]] - last[tokenizer.vocab["no"]])


@pytest.mark.parametrize("kind", [tiny_llama, _gpt2], ids=["llama", "gpt2"])
def test_the_score_is_yes_less_no_at_the_last_place(kind, tmp_path: Path) -> None:
    folder = kind(tmp_path)
    model = YesNoReranker.load(folder, EXACT)
    assert isinstance(model, Reranker)
    pairs = torch.tensor([[0, 0], [1, 3], [2, 8], [3, 9], [1, 4]])
    found = model.score_pairs(QUERIES, DOCUMENTS, pairs)
    expected = [_slow(folder, QUERIES[q], DOCUMENTS[d]) for q, d in pairs.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-4, rtol=1e-4)
    assert found.std() > 0.1


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("kind", [tiny_llama, _gpt2], ids=["llama", "gpt2"])
def test_company_moves_no_score(kind, side: str, tmp_path: Path) -> None:
    folder = kind(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = side
    tokenizer.save_pretrained(folder)
    model = YesNoReranker.load(folder, EXACT)
    among = model.score_pairs(QUERIES, DOCUMENTS, PAIRS)
    alone = [model.score(QUERIES[q], [DOCUMENTS[d]]) for q, d in PAIRS[::7].tolist()]
    torch.testing.assert_close(among[::7], torch.cat(alone), atol=1e-4, rtol=1e-4)
    assert model.score("nobody", []).shape == (0,)


def test_the_end_of_the_prompt_survives_any_document(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = YesNoPrompt(tokenizer, 24, TEMPLATE, "yes", "no")
    for query_words in (0, 1, 7, 8, 9, 30):
        for document_words in (0, 1, 7, 8, 9, 60):
            query = " ".join(WORDS[4 : 4 + query_words])
            document = " ".join(WORDS[-document_words:] if document_words else [])
            whole, ids = prompt.whole(query, document), prompt(query, document)
            where = (query_words, document_words)
            assert len(ids) == min(len(whole), 24), where
            assert tokenizer.decode(ids).endswith("? bi :"), where
            assert ids[0] == tokenizer.bos_token_id
            # 16 places: a query loses what is more than half, if the document needs it.
            kept = len({*tokenizer(query).input_ids[1:]} & {*ids.tolist()})
            assert kept == min(query_words, max(8, 16 - document_words)), where


def _bytes(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes, of which a character may need several, with a merge at a seam."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate([*letters, "Ġy", ".Ċ", "Ġn"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ġ", "y"), (".", "Ċ"), ("Ġ", "n")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, name_or_path=str(folder))


@pytest.mark.parametrize("document", ["abc.def." * 20, "語の" * 50, "." * 99, "a" * 33 + "."])
def test_a_prompt_is_always_what_the_tokenizer_makes_of_a_text(
    document: str, tmp_path: Path
) -> None:
    tokenizer = _bytes(tmp_path)
    prompt = YesNoPrompt(tokenizer, 40, "{query}?{document}\nA:", " y", " n")
    ids = prompt("q", document)
    assert 36 <= len(ids) <= 40
    text = tokenizer.decode(ids)
    assert text.startswith("q?")
    assert text.endswith("\nA:")
    assert document.startswith(text[2:-3])  # cut between characters, not within one
    assert tokenizer(text).input_ids == ids.tolist()


def test_braces_in_texts_are_not_places_to_fill(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = YesNoPrompt(tokenizer, 90, TEMPLATE, "yes", "no")
    asked = tokenizer(TEMPLATE.replace("{query}", "{ document }").replace("{document}", "bo"))
    assert prompt.whole("{document}", "bo").tolist() == asked.input_ids


def test_the_template_may_say_the_first_token_itself(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    one = YesNoPrompt(tokenizer, 90, TEMPLATE, "yes", "no")
    same = YesNoPrompt(tokenizer, 90, "<s>" + TEMPLATE, "yes", "no")
    assert one("ba", "be").tolist() == same("ba", "be").tolist()


def test_every_choice_is_in_the_name(folder: Path, tmp_path: Path) -> None:
    def name(place: Path = folder, **changes: object) -> str:
        facts = {"template": TEMPLATE, "yes": "yes", "no": "no", "precision": "float32"}
        return YesNoReranker.load(place, YesNoSettings(**(facts | changes))).fingerprint

    others = [name(tiny_llama(tmp_path, seed=1)), name(template=TEMPLATE + " bu"),
              name(yes="ba"), name(no="ba"), name(max_tokens=50)]  # fmt: skip
    assert name() == name()
    assert len({name(), *others}) == 6
    moved = YesNoReranker.load(folder, EXACT)
    before = moved.fingerprint
    with torch.no_grad():
        next(moved.network.parameters())[0, 0] += 1
    assert moved.fingerprint != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "{query}"}, r"template must be a text that holds \{document\} once"),
        ({"template": "{query}{query}{document}"}, r"holds \{query\} once"),
        ({"yes": "yes yes"}, r"yes must be a word that is one token, got 'yes yes'"),
        ({"no": "never"}, r"no must be a word that is one token, got 'never'.*<unk>"),
        ({"no": "yes"}, "two different tokens"),
        ({"max_tokens": 9}, "max_tokens must be 10 at least, for this template, got 9"),
        ({"max_tokens": 97}, "max_tokens must be at most 96"),
    ],
)
def test_a_question_that_cannot_be_put_is_refused(
    changes: dict[str, object], message: str, folder: Path
) -> None:
    facts = {"template": TEMPLATE, "yes": "yes", "no": "no"}
    with pytest.raises(BadSetting, match=message):
        YesNoReranker.load(folder, YesNoSettings(**(facts | changes)))


def test_what_is_no_language_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="lack"):
        YesNoReranker.load(tiny_bert(tmp_path), EXACT)


def test_the_templates_at_hand_hold_both_places() -> None:
    for template in (PLAIN, QWEN3):
        assert template.count("{query}") == template.count("{document}") == 1
