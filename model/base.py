"""A frozen language model: loading, reading and plain forward passes.

Any Hugging Face causal language model with safetensors weights, as it is or in NF4 (bitsandbytes). On the
CPU everything
is computed in float32: some processors announce bfloat16 matrix units that the system then forbids, and die
of it.

Shapes: T tokens, D hidden size, V vocabulary.
"""

import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig
from transformers.utils import logging as transformers_logging

from memory.adapter import Adapter
from memory.config import Target
from memory.generator import Generator, GeneratorUnavailable
from memory.hub import local_folder
from memory.state import MemoryState
from model.application import applied

Quantize = Literal["auto", "nf4", "none"]
EMBEDDED = Path(__file__).parent / "embedded"
WINDOW_KEY, WINDOW_TOKENS = "prompt_window_tokens", 256  # in config.json; where it is not there
FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
# for a tokenizer that brings no chat template; a reply ends where the person's next line would begin
PLAIN_TEMPLATE = (
    "{% for m in messages %}{{ 'User: ' if m['role'] == 'user' else 'Assistant: ' }}{{ m['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
PLAIN_MARKERS = ("\nUser:", "\nAssistant:")


class ModelUnavailable(ValueError):
    """The folder or name is not a language model that can be loaded here."""


def decoder_layers(network: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the path and the list of the decoder layers of `network`.

    Raises:
        ModelUnavailable: there is no list of as many modules as the model has layers.
    """
    count = _config(network).num_hidden_layers
    for path, module in network.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return path, module
    raise ModelUnavailable(f"{type(network).__name__} has no list of {count} decoder layers")


def attention_output_targets(network: nn.Module) -> tuple[Target, ...]:
    """Return the attention output projection of every decoder layer, the paper's target modules.

    Raises:
        ModelUnavailable: a layer has none, or it is not a linear module.
    """
    path, layers = decoder_layers(network)
    if not getattr(_config(network), "num_attention_heads", None):
        raise ModelUnavailable(f"{type(network).__name__} has no attention whose output could be adapted")
    hidden_size = _config(network).hidden_size
    inner = _attention_output(network, layers[0])
    targets = []
    for index, layer in enumerate(layers):
        try:
            module: Any = layer.get_submodule(inner)
        except AttributeError as exc:
            raise ModelUnavailable(f"layer {index} of {type(network).__name__} has no {inner}") from exc
        name = f"{path}.{index}.{inner}"
        targets.append(Target(name, index, hidden_size, int(module.in_features), int(module.out_features)))
    return tuple(targets)


@torch.no_grad()
def _attention_output(network: Any, first_layer: nn.Module) -> str:
    """Return the path within a layer of what ends its attention: the first linear module
    that sees other tokens.

    Asked of the model, not of a list of names: of two texts that differ in an earlier token only, the
    first layer's queries, keys and values of the last token are the same, and what is made of them is not.
    """
    seen: dict[str, list[Tensor]] = {}

    def remember(name: str) -> Any:
        return lambda _module, inputs: seen.setdefault(name, []).append(inputs[0][0, -1])

    handles = [
        module.register_forward_pre_hook(remember(name))
        for name, module in first_layer.named_modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        for earlier in (1, 2):
            network(input_ids=torch.tensor([[earlier, 3]], device=network.device), use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    for name, (one, other) in seen.items():  # in the order in which they ran
        if not torch.equal(one, other):
            return name
    raise ModelUnavailable(
        f"no linear module in a layer of {type(network).__name__} sees more than one token"
    )


def _config(network: nn.Module) -> Any:
    return network.config


class BaseModel:
    """A frozen causal language model and its tokenizer.

    Attributes:
        network: the Hugging Face model.
        name: as it was asked for.
        fingerprint: short hash of what decides its hidden states: the weights' files and the quantisation.
        lock: held during a forward pass; adapters are put on the one network that everybody shares.
    """

    def __init__(self, network: Any, tokenizer: Any, name: str, fingerprint: str) -> None:
        self.network = network
        self._tokenizer = tokenizer
        self.name = name
        self.fingerprint = fingerprint
        self.lock = threading.RLock()

    @classmethod
    def load(cls, path_or_name: str | Path, quantize: Quantize = "auto", device: str = "auto") -> Self:
        """Return the model of a folder or a hub name, ready to run; a name not in the cache is downloaded.

        Args:
            path_or_name: folder or hub name; "embedded" is the model that ships.
            quantize: `nf4` is 4 bit, `none` is float32 on the CPU and bfloat16 on CUDA, `auto` is nf4.
            device: `cpu`, `cuda` or `auto`.

        Raises:
            ModelUnavailable: it is not a causal language model with safetensors weights.
        """
        name = str(path_or_name)
        source = str(EMBEDDED) if name == "embedded" else name
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        options: dict[str, Any] = {"dtype": dtype, "local_files_only": True, "use_safetensors": True}
        if quantize != "none":
            options["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
            )
        transformers_logging.disable_progress_bar()
        try:
            folder = local_folder(source, FILES)
            if not (folder / "config.json").is_file():
                raise ValueError("it has no config.json")
            tokenizer = _tokenizer(folder)
            network = AutoModelForCausalLM.from_pretrained(folder, device_map={"": device}, **options)
            network.eval().requires_grad_(False)
            lm = cls(network, tokenizer, name, _fingerprint(folder, quantize, dtype))
            lm._warm_up()
        # what a file that is no model can raise is not for us to list: every library below has its own errors
        except Exception as exc:
            reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
            raise ModelUnavailable(f"{name} is not a language model that can be loaded: {reason}") from exc
        return lm

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer; raises ModelUnavailable where the model reads tokens only."""
        if self._tokenizer is None:
            raise ModelUnavailable(f"{self.name} has no tokenizer: it can be given tokens, but no text")
        return self._tokenizer

    @property
    def plain_markers(self) -> tuple[str, ...]:
        """What begins a line of each role where the tokenizer has no chat template of its own."""
        return PLAIN_MARKERS if self.tokenizer.chat_template == PLAIN_TEMPLATE else ()

    def require_text(self) -> None:
        """Raise ModelUnavailable where there is no tokenizer to chat with."""
        self.tokenizer  # noqa: B018 - for what it raises

    def require_fit(self, generator: Generator) -> None:
        """Raise GeneratorUnavailable unless every target of `generator` is a module of this model."""
        for target in generator.config.targets:
            try:
                module: Any = self.network.get_submodule(target.name)
            except AttributeError as exc:
                raise GeneratorUnavailable(
                    f"the generator adapts {target.name}, which {self.name} has not"
                ) from exc
            if not isinstance(module, nn.Linear):
                raise GeneratorUnavailable(
                    f"the generator adapts {target.name}, which is not a linear module in {self.name}"
                )
            expected, got = (
                (target.in_features, target.out_features),
                (module.in_features, module.out_features),
            )
            if expected != got:
                raise GeneratorUnavailable(
                    f"the generator adapts {target.name} of sizes {expected}, here it has {got}"
                )

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        device: torch.device = self.network.device
        return device

    @property
    def context_tokens(self) -> int:
        """How many tokens a forward pass may hold."""
        return int(getattr(self.network.config, "max_position_embeddings", 1 << 20))

    @property
    def window_tokens(self) -> int:
        """How many tokens of a running session suit its prompts: what its config says, which one that has
        learned to answer from its memory alone is to say."""
        return int(getattr(self.network.config, WINDOW_KEY, WINDOW_TOKENS))

    def _warm_up(self) -> None:
        # bitsandbytes repacks the weights in the first pass, which would fall on somebody's first word
        self.logits([0, 0])

    @torch.inference_mode()
    def logits(self, token_ids: Sequence[int], adapter: Adapter | None = None) -> Tensor:
        """Return the logits after every token, `[T, V]`; `adapter` None is the base model."""
        ids = torch.tensor([list(token_ids)], device=self.device)
        with self.lock, applied(self.network, adapter):
            logits: Tensor = self.network(input_ids=ids, use_cache=False).logits[0]
        return logits

    def log_likelihoods(
        self, before: Sequence[int], following: Sequence[int], adapter: Adapter | None = None
    ) -> Tensor:
        """Return the log-likelihood of every token of `following`, float32 `[T]`, in nats.

        Args:
            before: what stands before it, at least one token.
            following: the tokens whose likelihood is asked for, each after all those in front of it.
            adapter: None is the base model.
        """
        logits = self.logits([*before, *following], adapter)[len(before) - 1 : -1]
        chosen = torch.tensor(list(following), device=logits.device)
        return torch.log_softmax(logits.float(), -1).gather(1, chosen[:, None])[:, 0]

    @torch.inference_mode()
    def read(
        self,
        token_ids: Sequence[int],
        state: MemoryState,
        generator: Generator,
        counts: Sequence[bool] | None = None,
    ) -> MemoryState:
        """Return `state` with one chunk read into it, the adapter off or on as the generator reads.

        Args:
            token_ids: the chunk, with what stood before it as context.
            counts: True where a token is read into the state, False where it is context only; None counts
                all.

        Raises:
            GeneratorMismatch: `state` was made by another generator.
        """
        ids = torch.tensor([list(token_ids)], device=self.device)
        mask = torch.ones(len(token_ids), dtype=torch.bool) if counts is None else torch.tensor(list(counts))
        so_far = generator.adapter(state) if generator.config.reading == "sequential" else None
        with self.lock, applied(self.network, so_far):
            hidden = layer_inputs(self.network, {"input_ids": ids, "use_cache": False})
        return generator.fold(state, {i: h[0] for i, h in hidden.items()}, mask)


def layer_inputs(network: Any, inputs: dict[str, Any]) -> dict[int, Tensor]:
    """Return the input of each decoder layer, `[N, T, D]`, of one forward pass."""
    states = network.base_model(**inputs, output_hidden_states=True).hidden_states
    return dict(enumerate(states[:-1]))


def _tokenizer(folder: Path) -> Any:
    """Return the tokenizer in `folder`, with a plain chat template if it has none; None if there is none."""
    if not any(
        (folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")
    ):
        return None
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not tokenizer.chat_template:
        tokenizer.chat_template = PLAIN_TEMPLATE
    return tokenizer


def _fingerprint(folder: Path, quantize: Quantize, dtype: torch.dtype) -> str:
    """Return a short hash of all that decides hidden states: the model's files and how it computes."""
    digest = hashlib.sha256(f"{'none' if quantize == 'none' else 'nf4'} {dtype}".encode())
    for file in sorted(folder.iterdir()):
        if file.suffix in (".safetensors", ".json", ".jinja", ".model"):
            with file.open("rb") as stream:
                digest.update(file.name.encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
