"""The embedded model's tokenizer: byte-level BPE and a chat template of four special tokens.

Every segment between special tokens starts with a space, so that a name is the same tokens at the beginning
of a
message as in the middle of one: what is copied from memory needs no second spelling.
"""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from model.conversation import Exchange

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"
CHAT_TEMPLATE = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def rendered(exchanges: Iterable[Exchange]) -> str:
    """Return what the chat template gives for finished exchanges."""
    return "".join(f"{opened(e.user)}{e.assistant}{END}" for e in exchanges)


def opened(text: str) -> str:
    """Return a person's message and the opening of the reply."""
    return f"{USER}{text}{END}{ASSISTANT}"


def token_id(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    """Return the number of a special token."""
    found = tokenizer.convert_tokens_to_ids(token)
    if not isinstance(found, int):
        raise ValueError(f"expected a tokenizer that knows {token}, got one that does not")
    return found


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Return a tokenizer of `vocabulary` entries trained on `texts`."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(add_prefix_space=True), pre_tokenizers.Digits(individual_digits=True)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
