"""The folder of a yes/no reranker: its question in a file of ours, and as others read it.

yes_no.json               ours: template, the two words, how many tokens are read
modules.json              as sentence-transformers has it: a Transformer, then a LogitScore
1_LogitScore/config.json  likewise: which two words of the vocabulary are yes and no
chat_template.jinja       likewise: the template, as a chat of a query and a document
sentence_bert_config.json, config_sentence_transformers.json

Theirs are written where the chat template has the tokens of our question: nearly always. It has
not where a tokenizer puts a token before every text that no text can name, or reads what follows
that token in another way; then ours is written alone. Scores are equal as long as nothing is cut
(they cut the end of whatever stands before the template's last words; we cut the document, and a
long query). Of a model with learned positions, such as GPT-2, they are equal for a pair alone:
among longer ones its places are moved there by the padding.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from nearfar.errors import BadModel, said
from nearfar.model.pair_tokens import some_text
from nearfar.model.yes_no_prompt import QUESTIONS, Question, YesNoPrompt, parts_of

FILE = "yes_no.json"
_WORDS = ("template", "yes", "no")
_CHAIN = ("base.modules.transformer.Transformer", "cross_encoder.modules.logit_score.LogitScore")
_SCORE = "1_LogitScore"
_NOT_OF_TEXTS = {"padding", "truncation", "max_length", "return_tensors", "restore_suffix"}

Render = Callable[[str, str], str]  # a query and a document to the text that is asked


def read_yes_no(folder: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[Question, int | None]:
    """Return what a folder wants to be asked, and how many tokens of it are read, if it says so.

    A folder of neither kind gets the question of its family, or a plain one.

    Raises:
        BadModel: a file is damaged, or holds what is no question of ours.
    """
    if (folder / FILE).is_file():
        found = _object(folder / FILE)
        words, most = {key: found.get(key) for key in _WORDS}, found.get("max_tokens")
        if not (all(isinstance(word, str) for word in words.values()) and isinstance(most, int)):
            raise BadModel(
                f"{folder / FILE}: expected the texts {', '.join(_WORDS)} and the whole number "
                f"max_tokens, found {json.dumps(found)[:200]}. Save the model again."
            )
        return Question(**{key: str(word) for key, word in words.items()}), most
    if is_their_reranker(folder):
        return _their_question(folder, tokenizer), None
    family = str(_object(folder / "config.json").get("model_type"))
    return QUESTIONS["qwen3" if family.startswith("qwen3") else "plain"], None


def is_their_reranker(folder: Path) -> bool | None:
    """Return whether the chain of a folder ends in yes or no; None where it has no chain."""
    path = folder / "modules.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return any(str(one["type"]).endswith(".LogitScore") for one in found)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadModel(f"{path}: expected a list of modules, each with type and path.") from error


def write_yes_no(folder: Path, prompt: YesNoPrompt) -> None:
    """Write the tokenizer and the small files beside the weights, which lie there already."""
    tokenizer = prompt.tokenizer
    tokenizer.model_max_length = prompt.max_tokens
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token  # they fill up with it; we need none
    tokenizer.save_pretrained(folder)
    own = {key: getattr(prompt, key) for key in (*_WORDS, "max_tokens")}
    _write(folder / FILE, own)
    chats = (chat for chat in _chat_templates(prompt)
             if _same_tokens(prompt, _renderer(tokenizer, chat)))  # fmt: skip
    if (chat := next(chats, None)) is None:
        return
    (folder / "chat_template.jinja").write_text(chat, encoding="utf-8")
    types = [f"sentence_transformers.{name}" for name in _CHAIN]
    _write(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": path, "type": type_}
        for i, (path, type_) in enumerate(zip(("", _SCORE), types, strict=True))
    ])  # fmt: skip
    logits = {"method": "forward", "method_output_name": "logits"}
    _write(folder / "sentence_bert_config.json", {
        "transformer_task": "text-generation",
        "modality_config": {"text": logits, "message": {**logits, "format": "flat"}},
        "module_output_name": "causal_logits",
    })  # fmt: skip
    _write(folder / "config_sentence_transformers.json", {
        "model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.linear.Identity",
    })  # fmt: skip
    (folder / _SCORE).mkdir()
    yes, no = prompt.word_ids
    _write(folder / _SCORE / "config.json", {
        "true_token_id": yes, "false_token_id": no, "module_input_name": "causal_logits",
    })  # fmt: skip


def _their_question(folder: Path, tokenizer: PreTrainedTokenizerBase) -> Question:
    """Return the question that a folder of sentence-transformers holds as a chat template."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        places = {str(one["type"]).rsplit(".", 1)[-1]: str(one["path"]) for one in modules}
        words = _object(folder / places["LogitScore"] / "config.json")
        settings = _object(folder / "sentence_bert_config.json")
        render = _renderer(tokenizer, tokenizer.chat_template, settings, _system(folder))
        ids = [words["true_token_id"], words["false_token_id"]]
        yes, no = (str(tokenizer.decode([i], clean_up_tokenization_spaces=False)) for i in ids)
        template = render("{query}", "{document}")
        prompt = YesNoPrompt(tokenizer, 2**30, template, yes, no)
        equal = prompt.word_ids == tuple(ids) and _same_tokens(prompt, render)
        wrong = "" if equal else "no text with a query and a document in it has the same tokens"
    except BadModel:
        raise
    except Exception as error:  # a template is a program: it may raise anything
        wrong = said(error)
    if wrong:
        raise BadModel(
            f"{folder}: expected a chat template that puts a query and a document into one text, "
            f"and a LogitScore with a word for yes and one for no; found others ({wrong}). Name "
            "the template yourself, in a folder without modules.json."
        )
    return Question(template, yes, no)


def _system(folder: Path) -> str | None:
    """Return what their model says before each pair."""
    path = folder / "config_sentence_transformers.json"
    config = _object(path) if path.is_file() else {}
    return (config.get("prompts") or {}).get(config.get("default_prompt_name"))


def _renderer(
    tokenizer: PreTrainedTokenizerBase,
    chat: str | None,
    settings: Mapping[str, Any] | None = None,
    system: str | None = None,
) -> Render:
    """Return what makes a text of a query and a document by a chat template, as they do."""
    settings = settings or {}
    format_ = ((settings.get("modality_config") or {}).get("message") or {}).get("format", "flat")
    options = (settings.get("processing_kwargs") or {}).get("chat_template") or {}
    options = {key: value for key, value in options.items() if key not in _NOT_OF_TEXTS}

    def content(text: str) -> str | list[dict[str, str]]:
        return text if format_ == "flat" else [{"type": "text", "text": text}]

    def render(query: str, document: str) -> str:
        first = [("system", system)] if system else []
        told = [*first, ("query", query), ("document", document)]
        messages: list[Any] = [{"role": role, "content": content(text)} for role, text in told]
        found = tokenizer.apply_chat_template(
            messages, chat_template=chat, tokenize=False, **options
        )
        return str(found)

    return render


def _chat_templates(prompt: YesNoPrompt) -> Iterator[str]:
    """Yield what the template may be in the language of chat templates."""
    content = (
        '{{{{ messages | selectattr("role", "eq", "{}") | map(attribute="content") | first }}}}'
    )
    places = {f"{{{role}}}": content.format(role) for role in ("query", "document")}
    start = "".join(map(str, prompt.tokenizer.convert_ids_to_tokens(list(prompt.start))))
    # Some tokenizers put a space before a text, but not after a token that the text names.
    for begin in ("", start, f"{start} "):
        parts = [part for part in parts_of(begin + prompt.template) if part]
        yield "".join(places.get(part) or _literal(part) for part in parts)


def _literal(text: str) -> str:
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}"


def _same_tokens(prompt: YesNoPrompt, render: Render) -> bool:
    """Return whether a chat template makes the tokens of our question, of whatever texts."""
    word = some_text(prompt.tokenizer)
    probes = (word, "", f" {word}\n", f"{word}, {word} {word}? 語 {{query}}")
    for query in probes:
        for document in probes:
            ids = prompt.tokenizer(render(query, document), add_special_tokens=False, verbose=False)
            if ids["input_ids"] != prompt.whole(query, document).tolist():
                return False
    return True


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadModel(f"{path}: expected JSON that describes a model ({error}).") from error
    if not isinstance(found, dict):
        raise BadModel(f"{path}: expected a JSON object, found {type(found).__name__}.")
    return found
