"""The training of the embedded model: language model and generator together, from nothing, in one loop.

What it learns from each batch is in `model.training.losses`. The steps are deterministic in the seed and the
number of processes, and can be resumed.

On several CPU cores or GPUs it runs as that many processes under `torchrun`; each draws people of its
own, and their gradients are averaged. Beside a GPU, further processes draw the next batches meanwhile.
"""

import json
import logging
import os
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from pydantic import Field, PositiveInt
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters
from torch.optim import AdamW
from torch.utils.data import DataLoader, Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from memory.config import GeneratorConfig
from memory.generator import Generator
from model.base import WINDOW_KEY, attention_output_targets
from model.training import corpus
from model.training.episodes import Batch, Episodes, Mixture
from model.training.facts import load_kinds, load_scenes
from model.training.growing import grow
from model.training.losses import WEIGHTS, losses
from model.training.muon import Muon
from model.training.people import People
from model.training.pooling import POOLING, hold_together, start_pooling
from model.training.tokenizer import END, PAD, rendered, token_id, train_tokenizer
from model.training.values import Values

MOST_WORKERS = 12  # processes that draw batches beside a GPU
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Sizes and schedule of one training.

    Attributes:
        steps: optimiser steps in all; the learning rate ends at a twentieth of its peak.
        hidden_size, layers, heads, intermediate_size, vocabulary: of the language model.
        state_size, passes: R of the generator, and how often it passes over what it reads.
        people, stories, dialogues: episodes in a step, in each process.
        num_questions: of a made-up person.
        first_facts, most_facts: the most facts of a made-up person, at the start and at the end.
        reconstructed: share of the read rows that are predicted again.
        prompted: share of the made-up people who are also asked with the history in the prompt.
        seekers: made-up people in a step, in each process, whose questions only have to find their messages.
        learning_rate, matrix_learning_rate: peaks, of AdamW for embeddings and vectors and of Muon for the
            matrices; warmup_steps rise to them, the last decay_share of the steps fall from them.
        checkpoint_steps: steps between checkpoints.
        tokenizer_people: made-up people whose words the tokenizer is trained on.
    """

    steps: PositiveInt = 2600
    hidden_size: PositiveInt = 256
    layers: Annotated[int, Field(gt=POOLING)] = 7
    heads: PositiveInt = 4
    intermediate_size: PositiveInt = 704
    vocabulary: PositiveInt = 4096
    state_size: PositiveInt = 192
    passes: Literal[1, 2] = 2
    people: PositiveInt = 16
    stories: int = 1
    dialogues: int = 2
    num_questions: int = 14
    first_facts: int = 5
    most_facts: int = 14
    reconstructed: float = 0.12
    prompted: float = 0.2
    seekers: int = 30
    learning_rate: float = 2e-3
    matrix_learning_rate: float = 4e-3
    warmup_steps: PositiveInt = 100
    decay_share: float = 0.6
    clip: float = 1.0
    checkpoint_steps: PositiveInt = 100
    seed: int = 1
    tokenizer_people: int = 15_000

    def mixture(self, step: int) -> Mixture:
        """Return what a step is made of; the facts of a person grow in number."""
        most = self.first_facts + round((self.most_facts - self.first_facts) * step / self.steps)
        return Mixture(
            self.people,
            self.stories,
            self.dialogues,
            (1, most),
            self.num_questions,
            self.reconstructed,
            self.prompted,
            self.seekers,
        )

    def rate(self, step: int) -> float:
        """Return the share of the peak learning rates at a step: a linear rise, a plateau, a linear fall."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        fall = min(1.0, (self.steps - step) / max(1.0, self.decay_share * self.steps))
        return min(rise, max(0.05, fall))


def build_tokenizer(config: TrainingConfig, data: Path, people: People) -> PreTrainedTokenizerFast:
    """Return a tokenizer trained on made-up people and on the dialogues of `data`."""
    rng = random.Random(config.seed)

    def texts() -> Iterator[str]:
        for _ in range(config.tokenizer_people):
            person = people.draw(rng, 6, 4)
            yield from (rendered(session) for session in person.sessions)
            yield from (f"{q.message} {q.reply}" for q in person.questions)
        dialogues = corpus.dialogues(data)
        rng.shuffle(dialogues)
        yield from (rendered(dialogue) for dialogue in dialogues[:8000])
        yield from (story.passage for story in corpus.stories(data))

    return train_tokenizer((t for t in texts()), config.vocabulary)


def build_models(
    config: TrainingConfig, tokenizer: PreTrainedTokenizerFast
) -> tuple[LlamaForCausalLM, Generator]:
    """Return an untrained language model and an untrained generator for it."""
    torch.manual_seed(config.seed)
    network = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=token_id(tokenizer, END),
            pad_token_id=token_id(tokenizer, PAD),
        )
    )
    # no prompt of the training repeats what was said before
    network.config.update({WINDOW_KEY: 0})
    # all but the first and the one that pools read what the last layer reads, which knows most
    targets = tuple(
        replace(t, layer=t.layer if t.layer in (0, POOLING) else config.layers - 1)
        for t in attention_output_targets(network)
    )
    generator = Generator(
        GeneratorConfig(
            targets,
            config.state_size,
            config.state_size,
            own_key=True,
            chunk_key=True,
            near_key=True,
            gate=True,
            passes=config.passes,
        )
    )
    start_pooling(network, generator)
    return network, generator


class Batches(Dataset[Batch]):
    """The batch of each step, for one of the processes."""

    def __init__(self, episodes: Episodes, config: TrainingConfig, process: int) -> None:
        self.episodes = episodes
        self.config = config
        self.process = process

    def __getitem__(self, step: int) -> Batch:
        rng = random.Random(f"{self.config.seed}/{step}/{self.process}")
        return self.episodes.batch(rng, self.config.mixture(step))


class Training:
    """One training: what it holds, its steps, its checkpoints."""

    def __init__(self, config: TrainingConfig, data: Path, out: Path, start: Path | None = None) -> None:
        """Prepare a training in the folder `out`.

        Args:
            data: folder of the training data.
            start: folder of a trained model whose weights and tokenizer are the beginning (see `grow`); None
                begins with nothing.

        Raises:
            FileNotFoundError: a file of the training data is not there.
            ValueError: `start` is of other sizes; only its state may be smaller and its layers fewer.
        """
        self.config = config
        self.out = out
        self.processes = PartialState(cpu=not torch.cuda.is_available())
        out.mkdir(parents=True, exist_ok=True)
        people = People(
            load_kinds(), load_scenes(), Values(data / "word_lists.jsonl.gz"), corpus.small_talk(data)
        )
        with self.processes.main_process_first():
            self.tokenizer = self._tokenizer(data, people, start)
        self.episodes = Episodes(
            self.tokenizer, people, corpus.stories(data), corpus.dialogues(data), config.passes
        )
        self.network, self.generator = build_models(config, self.tokenizer)
        if start is not None:
            grow(
                self.network,
                self.generator,
                LlamaForCausalLM.from_pretrained(start),
                Generator.from_pretrained(start / "generator"),
            )
        hold_together(self.generator)
        self.network.to(self.processes.device)
        self.generator.to(self.processes.device)
        self.optimisers = self._optimisers()
        self.step = 0

    def _tokenizer(self, data: Path, people: People, start: Path | None) -> PreTrainedTokenizerFast:
        """Return the tokenizer of the folder; the first time it is that of `start`, or a new one."""
        folders = [f for f in (self.out, start) if f is not None and (f / "tokenizer.json").exists()]
        tokenizer: PreTrainedTokenizerFast = (
            PreTrainedTokenizerFast.from_pretrained(folders[0])
            if folders
            else build_tokenizer(self.config, data, people)
        )
        if self.out not in folders:
            tokenizer.save_pretrained(self.out)
        return tokenizer

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        named = [*self.network.named_parameters(), *self.generator.named_parameters()]
        matrices = [p for n, p in named if p.ndim == 2 and "embed" not in n]
        others = [p for n, p in named if p.ndim != 2 or "embed" in n]
        return [
            Muon(matrices, lr=self.config.matrix_learning_rate, momentum=0.95, weight_decay=0.05),
            AdamW(others, lr=self.config.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    @property
    def result(self) -> Path:
        """Folder of the trained model."""
        return self.out / "model"

    def run(self) -> None:
        """Train from where the last checkpoint left off to the end, then export."""
        peaks = [group["lr"] for optimiser in self.optimisers for group in optimiser.param_groups]
        self.resume()
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        parameters = [p for group in groups for p in group["params"] if p.requires_grad]
        started, tokens = time.monotonic(), 0
        for drawn in self._batches():
            batch = drawn.to(self.processes.device)
            parts = losses(self.network, self.generator, batch)
            loss = torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()
            for optimiser in self.optimisers:
                optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self._average_gradients(parameters)
            norm = clip_grad_norm_(parameters, self.config.clip)
            for group, peak in zip(groups, peaks, strict=True):
                group["lr"] = peak * self.config.rate(self.step)
            for optimiser in self.optimisers:
                optimiser.step()
            self.step += 1
            tokens += drawn.num_tokens
            if not self.processes.is_main_process:
                continue
            if self.step % 10 == 0:
                report = {name: round(value.item(), 3) for name, value in parts.items()}
                seconds = round(time.monotonic() - started, 1)
                log.info(
                    json.dumps(
                        {
                            "step": self.step,
                            **report,
                            "norm": round(norm.item(), 2),
                            "s": seconds,
                            "tokens": tokens,
                        }
                    )
                )
            if self.step % self.config.checkpoint_steps == 0:
                self.checkpoint()
        if self.processes.is_main_process:
            self.export(self.result)

    def _batches(self) -> DataLoader[Batch]:
        """Return the batches of the steps that are left."""
        on_cpu = self.processes.device.type == "cpu"
        return DataLoader(
            Batches(self.episodes, self.config, self.processes.process_index),
            batch_size=None,
            sampler=range(self.step, self.config.steps),
            num_workers=0 if on_cpu else min(MOST_WORKERS, os.cpu_count() or 1),
        )

    def _average_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        if self.processes.num_processes > 1:
            gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
            vector_to_parameters(reduce(parameters_to_vector(gradients), "mean"), gradients)
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient

    def checkpoint(self) -> None:
        """Write all that a resumed training needs; the old checkpoint stays until the new one is whole."""
        fresh = self.out / "checkpoint.new"
        state = {
            "config": asdict(self.config),
            "step": self.step,
            "network": self.network.state_dict(),
            "generator": self.generator.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }
        torch.save(state, fresh)
        fresh.replace(self.out / "checkpoint.pt")

    def resume(self) -> None:
        """Continue from the checkpoint in the folder, where there is one.

        Raises:
            ValueError: the checkpoint is of a model of other sizes.
        """
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        sizes = (
            "hidden_size", "layers", "heads", "intermediate_size", "vocabulary", "state_size", "passes"
        )  # fmt: skip
        wanted = asdict(self.config)
        if any(state["config"][key] != wanted[key] for key in sizes):
            raise ValueError(f"{path} is of a model of other sizes: choose another folder or the same sizes")
        self.network.load_state_dict(state["network"])
        self.generator.load_state_dict(state["generator"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.step = state["step"]

    def export(self, folder: Path) -> None:
        """Write the model, its tokenizer and its generator as they ship: 16 bit, safetensors."""
        self.network.eval()
        # the vocabulary projection is the embedding: written once
        tied = "lm_head.weight"
        weights = {n: w.to(torch.bfloat16) for n, w in self.network.state_dict().items() if n != tied}
        self.network.save_pretrained(folder, state_dict=weights)
        self.tokenizer.save_pretrained(folder)
        self.generator.save_pretrained(folder / "generator", dtype=torch.bfloat16)
        self.network.train()
