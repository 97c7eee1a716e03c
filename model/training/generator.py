"""The training of a generator for any frozen base, on one CPU, one GPU or many (accelerate).

The paper's objectives, all predicted under the adapter of what was read:

    loss = reconstruction (what was read) + completion (how it goes on) + answers about it

The base is frozen; reading is not differentiated through, so that a step costs a forward pass for what is
read and a forward and backward pass for what is predicted. Steps are deterministic in the seed and the
number of processes, and can be resumed.

Shapes: G samples, N rows, T tokens, R state size. Source: arXiv 2411.05877.
"""

import json
import logging
import math
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW

from memory.adapter import Adapter
from memory.config import GeneratorConfig, Reading
from memory.generator import Generator
from model.application import applied
from model.base import BaseModel, attention_output_targets, layer_inputs
from model.conversation import Exchange, chunks, prompt_ids, turn_tokens
from model.training.muon import Muon
from model.training.samples import Sample

log = logging.getLogger(__name__)

Row = tuple[list[int], list[bool]]  # tokens, and which of them are read, or are to be predicted


@dataclass(frozen=True, slots=True)
class GeneratorTraining:
    """Sizes and schedule.

    Attributes:
        steps: optimiser steps in all; the learning rates end at a twentieth of their peaks.
        batch: samples in a step, in each process.
        state_size, rank, reading, key_shift: of the generator; its normalisation is Newton-Schulz, whose
            gradient is bounded where singular values meet.
        window_tokens: most tokens that are read at once, and in an answer.
        num_questions: asked of a sample in a step.
        learning_rate, matrix_learning_rate: peaks, of AdamW for vectors and of Muon for matrices.
        held_out: share of the samples with questions that is never trained on; at most `most_held_out` of
            them are measured.
        checkpointing: compute activations again in the backward pass rather than keep them.
    """

    steps: int = 2000
    batch: int = 8
    state_size: int = 256
    rank: int = 256
    reading: Reading = "independent"
    key_shift: int = 1
    window_tokens: int = 256
    num_questions: int = 3
    learning_rate: float = 1e-3
    matrix_learning_rate: float = 2e-3
    warmup_steps: int = 50
    held_out: float = 0.05
    most_held_out: int = 64
    validation_steps: int = 200
    checkpoint_steps: int = 200
    checkpointing: bool = False
    seed: int = 1

    def rate(self, step: int) -> float:
        """Return the share of the peak learning rates at a step: a linear rise, then half a cosine."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        return min(rise, 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


@dataclass(frozen=True, slots=True)
class Rows:
    """Right-padded rows: tokens int64 `[N, T]`, which count bool `[N, T]`, whose they are int64 `[N]`."""

    ids: Tensor
    counts: Tensor
    sample: Tensor


class Learner(nn.Module):
    """The generator with its loss as a forward pass, which is what accelerate knows how to spread."""

    def __init__(self, lm: BaseModel, generator: Generator) -> None:
        super().__init__()
        self.generator = generator
        # in a tuple, so that the frozen base is none of this module's parameters
        self._base = (lm,)

    def forward(self, reads: Sequence[Rows], predicted: Rows, until_backward: ExitStack) -> Tensor:
        """Return the mean loss of the predicted tokens.

        Args:
            reads: one batch of rows per chunk, in the order in which chunks are read.
            until_backward: closed after the backward pass, which with checkpointing runs the base once more,
                under the same adapter.
        """
        network = self._base[0].network
        adapter = self.adapter(reads, num_samples=int(predicted.sample.max()) + 1)
        until_backward.enter_context(applied(network, adapter.rows(predicted.sample)))
        return _next_token_loss(network, predicted)

    def adapter(self, reads: Sequence[Rows], num_samples: int) -> Adapter:
        """Return the adapters of a batch of samples after reading all their chunks."""
        network, config = self._base[0].network, self.generator.config
        size = config.state_size
        device = network.device
        sums = {t.name: torch.zeros(num_samples, size, size, device=device) for t in config.targets}
        for number, rows in enumerate(reads):
            so_far = None
            if config.reading == "sequential" and number:
                so_far = self.generator.training_adapter(sums).rows(rows.sample)
            with torch.no_grad(), applied(network, so_far):
                hidden = layer_inputs(network, {"input_ids": rows.ids, "use_cache": False})
            own = self.generator.sums(hidden, rows.counts)
            sums = {name: s.index_add(0, rows.sample, own[name]) for name, s in sums.items()}
        return self.generator.training_adapter(sums)


class Training:
    """One training: the base, its generator, the samples, the steps."""

    def __init__(
        self, lm: BaseModel, samples: Sequence[Sample], out: Path, settings: GeneratorTraining
    ) -> None:
        """Prepare a training in the folder `out`.

        Raises:
            ValueError: too few samples have questions.
            ModelUnavailable: the base has no attention outputs to adapt.
        """
        self.lm, self.out, self.settings = lm, out, settings
        asked = [s for s in samples if s.questions]
        random.Random(settings.seed).shuffle(asked)
        # one would be its own "something else"
        num_held_out = max(2, round(settings.held_out * len(asked)))
        self.held_out = asked[:num_held_out]
        self.samples = asked[num_held_out:] + [s for s in samples if not s.questions]
        if len(self.held_out) < 2 or not self.samples:
            raise ValueError(
                "expected samples with questions, some to train on and at least two to measure,"
                f" got {len(asked)} with questions of {len(samples)}"
            )
        out.mkdir(parents=True, exist_ok=True)
        self.accelerator = Accelerator(cpu=lm.device.type == "cpu")
        torch.manual_seed(settings.seed)
        config = GeneratorConfig(
            attention_output_targets(lm.network),
            settings.state_size,
            min(settings.rank, settings.state_size),
            key_shift=settings.key_shift,
            reading=settings.reading,
            window_tokens=settings.window_tokens,
        )
        if settings.checkpointing:
            lm.network.train()  # transformers looks at this; nothing is trained but the generator
            for module in lm.network.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
            lm.network.activation_checkpointing_enable()
        learner = Learner(lm, Generator(config).to(lm.device))
        matrices = [p for p in learner.parameters() if p.ndim == 2]
        vectors = [p for p in learner.parameters() if p.ndim != 2]
        optimisers = (
            Muon(matrices, lr=settings.matrix_learning_rate, momentum=0.95, weight_decay=0.01),
            AdamW(vectors, lr=settings.learning_rate, betas=(0.9, 0.98), weight_decay=0.0),
        )
        self.learner: Any = self.accelerator.prepare(learner)
        self.optimisers: list[Any] = [self.accelerator.prepare(o) for o in optimisers]
        self.step = 0

    @property
    def result(self) -> Path:
        """Folder of the trained generator."""
        return self.out / "generator"

    @property
    def generator(self) -> Generator:
        """The generator as it is now."""
        learner: Learner = self.accelerator.unwrap_model(self.learner)
        return learner.generator

    def run(self) -> None:
        """Train from the last checkpoint to the end, then write the generator and its card."""
        self._resume()
        groups = [group for optimiser in self.optimisers for group in optimiser.param_groups]
        peaks = [self.settings.matrix_learning_rate, self.settings.learning_rate]
        started = time.monotonic()
        while self.step < self.settings.steps:
            process = self.accelerator.process_index
            rng = random.Random(f"{self.settings.seed}/{self.step}/{process}")
            for group, peak in zip(groups, peaks, strict=True):
                group["lr"] = peak * self.settings.rate(self.step)
            loss = self._take_step(rng.choices(self.samples, k=self.settings.batch), rng)
            self.step += 1
            if self.step % 10 == 0:
                self._report(loss=round(loss, 3), s=round(time.monotonic() - started, 1))
            if self.step % self.settings.validation_steps == 0 and self.step < self.settings.steps:
                self._report(**self.validate())
            if self.step % self.settings.checkpoint_steps == 0:
                self._checkpoint()
        if self.accelerator.is_main_process:
            figures = self.validate()
            self._report(**figures)
            self.generator.save_pretrained(self.result)
            (self.result / "README.md").write_text(self._card(figures), encoding="utf-8")

    def _report(self, **figures: float) -> None:
        if self.accelerator.is_main_process:
            log.info(json.dumps({"step": self.step, "of": self.settings.steps, **figures}))

    def _take_step(self, samples: Sequence[Sample], rng: random.Random) -> float:
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        reads, predicted = self._batch(samples, rng)
        with ExitStack() as until_backward:
            loss = self.learner(reads, predicted, until_backward)
            self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.learner.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        return float(loss.detach())

    def _batch(self, samples: Sequence[Sample], rng: random.Random) -> tuple[list[Rows], Rows]:
        """Return what is read of `samples`, chunk by chunk, and what is predicted under their adapters."""
        reads: list[list[tuple[int, Row]]] = []
        predicted: list[tuple[int, Row]] = []
        for number, sample in enumerate(samples):
            windows = list(self._chunks(sample))
            # without questions, what follows some window is kept back, to be predicted
            cut = len(windows) if sample.questions or len(windows) == 1 else rng.randrange(1, len(windows))
            for index, window in enumerate(windows[:cut]):
                if index == len(reads):
                    reads.append([])
                reads[index].append((number, window))
            ids, is_read = rng.choice(windows[:cut])
            again = [token for token, counts in zip(ids, is_read, strict=True) if counts]
            predicted.append((number, (again, [True] * len(again))))
            predicted += [(number, window) for window in windows[cut : cut + 1]]
            questions = rng.sample(sample.questions, min(len(sample.questions), self.settings.num_questions))
            predicted += [(number, self._answer_row(q, a)) for q, a in questions]
        return [self._padded(rows) for rows in reads], self._padded(predicted)

    def _chunks(self, sample: Sample) -> Iterator[Row]:
        for session in sample.sessions:
            turns = [turn_tokens(self.lm, exchange) for exchange in session]
            for i, turn in enumerate(turns):
                yield from chunks(self.generator.config, turns[:i], turn)

    def _answer_row(self, question: str, answer: str) -> Row:
        most, end = self.settings.window_tokens, self.lm.tokenizer.eos_token_id
        prompt = prompt_ids(self.lm, [], question, max_window_tokens=0)
        asked = turn_tokens(self.lm, Exchange(question, answer))
        opening = prompt[len(asked.preamble) + len(asked.message) :]
        # the words as they follow the opening, where a tokenizer may write a first word in another way
        reply = asked.reply[len(opening) :][:most]
        if end is not None and end not in reply:
            reply = [*reply, end]
        prompt = prompt[-most:]
        return prompt + reply, [False] * len(prompt) + [True] * len(reply)

    def _padded(self, rows: Sequence[tuple[int, Row]]) -> Rows:
        longest = max(len(ids) for _, (ids, _) in rows)
        tokens = torch.zeros(len(rows), longest, dtype=torch.int64)
        counts = torch.zeros(len(rows), longest, dtype=torch.bool)
        for i, (_, (ids, is_counted)) in enumerate(rows):
            tokens[i, : len(ids)] = torch.tensor(ids)
            counts[i, : len(ids)] = torch.tensor(is_counted)
        sample = torch.tensor([number for number, _ in rows])
        return Rows(*(t.to(self.lm.device) for t in (tokens, counts, sample)))

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the loss of a token of the answers to held-out questions: with the memory of what was read,
        without one, and with that of something else, which shows what of the gain is a manner of speaking."""
        asked = self.held_out[: self.settings.most_held_out]
        learner: Learner = self.accelerator.unwrap_model(self.learner)
        losses: dict[str, list[float]] = {"memory": [], "none": [], "other_memory": []}
        adapters = []
        for sample in asked:
            reads = [self._padded([(0, chunk)]) for chunk in self._chunks(sample)]
            adapters.append(learner.adapter(reads, num_samples=1))
        for number, sample in enumerate(asked):
            rows = self._padded([(0, self._answer_row(q, a)) for q, a in sample.questions])
            other = adapters[number - 1]
            for name, adapter in (("memory", adapters[number]), ("none", None), ("other_memory", other)):
                on = adapter.rows(rows.sample) if adapter else None
                with applied(self.lm.network, on):
                    losses[name].append(_next_token_loss(self.lm.network, rows).item())
        return {name: round(sum(each) / len(each), 4) for name, each in losses.items()}

    def _checkpoint(self) -> None:
        folder = self.out / f"checkpoint-{self.step}"
        self.accelerator.save_state(str(folder))
        if self.accelerator.is_main_process:
            # named last: a folder without it was cut short
            mark = {"step": self.step, "base": self.lm.fingerprint, **asdict(self.settings)}
            (folder / "step.json").write_text(json.dumps(mark))

    def _resume(self) -> None:
        """Go on from the newest whole checkpoint, if any.

        Raises:
            ValueError: it is of another base or of other sizes.
        """
        marks = [json.loads(mark.read_text()) for mark in self.out.glob("checkpoint-*/step.json")]
        if not marks:
            return
        newest = max(marks, key=lambda mark: int(mark["step"]))
        if newest["base"] != self.lm.fingerprint:
            raise ValueError(f"{self.out} holds a training for another base: choose another folder")
        for key in ("state_size", "rank", "reading", "key_shift", "window_tokens", "seed"):
            if newest[key] != getattr(self.settings, key):
                raise ValueError(
                    f"{self.out} holds a training with {key} {newest[key]}: choose another folder"
                )
        self.accelerator.load_state(str(self.out / f"checkpoint-{newest['step']}"))
        self.step = newest["step"]

    def _card(self, figures: dict[str, float]) -> str:
        config = self.generator.config
        num_parameters = sum(p.numel() for p in self.generator.parameters())
        settings = "\n".join(f"| {key} | {value} |" for key, value in asdict(self.settings).items())
        return f"""# A memory generator for {self.lm.name}

Reads hidden states of `{self.lm.name}` into {len(config.targets)} matrices of {config.state_size} squared,
and makes a low-rank adapter of them. {num_parameters:,} parameters.

Trained on {len(self.samples)} samples, {len(self.held_out)} held out. Loss of a held-out answer's token:

| with the memory of what was read | without a memory | with the memory of something else |
|---|---|---|
| {figures["memory"]} | {figures["none"]} | {figures["other_memory"]} |

| setting | value |
|---|---|
{settings}
"""


def _next_token_loss(network: Any, rows: Rows) -> Tensor:
    """Return the mean loss of the tokens that count."""
    logits = network(input_ids=rows.ids, use_cache=False).logits[:, :-1]
    counted = rows.counts[:, 1:]
    return functional.cross_entropy(logits[counted].float(), rows.ids[:, 1:][counted])
