"""What the embedded model learns from a batch.

    loss = answering questions under the adapter  +  reconstruction under the adapter
           + 0.5 x answering with the history in the prompt instead  +  0.3 x language
           + 0.25 x retrieval  +  finding  +  0.5 x naming  +  0.25 x salience

Reconstruction (predicting what was read again, under the adapter made from it; the paper's own pretraining)
is what makes recall appear at all: every token is a lesson. A question about memory is answered by quoting
(`model.training.quoting`). Retrieval (`model.training.retrieval`) teaches keys and queries directly, finding
and naming (`model.training.pooling`) the memory of whole messages, salience (`model.training.salience`) the
gates. Answering from the prompt makes the same model a fair opponent of its memory.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM

from memory.adapter import Adapter
from memory.generator import Generator
from model.application import applied
from model.training.episodes import Batch
from model.training.pooling import POOLING, finding_losses
from model.training.retrieval import Places, caught_inputs
from model.training.rows import Mark, Rows
from model.training.salience import salience_loss

# nats by which declining is made likelier while it is learnt, so that it is less likely afterwards: what is
# put in words never seen in training is not to be taken for never said (logit adjustment, Menon et al.,
# arXiv 2007.07314)
MARGIN = 3.0
WEIGHTS = {
    "answer": 1.0,
    "again": 1.0,
    "prompted": 0.5,
    "language": 0.3,
    "retrieval": 0.25,
    "finding": 1.0,
    "naming": 0.5,
    "salience": 0.25,
}


def losses(network: LlamaForCausalLM, generator: Generator, batch: Batch) -> dict[str, Tensor]:
    """Return the losses of a batch by name, each a mean over the tokens that count in it; of what is not in
    it there is no loss."""
    size = generator.config.state_size
    empty = torch.zeros(batch.num_people, size, size, device=network.device)
    sums = {t.name: empty for t in generator.config.targets}
    pooling = generator.config.targets[POOLING].name
    language, salience, places = [], [], Places()
    for rows in batch.reads:
        output = network.model(input_ids=rows.ids, use_cache=False, output_hidden_states=True)
        hidden = dict(enumerate(output.hidden_states[:-1]))
        tokens = generator.tokens(hidden, rows.weight)
        sums = {n: s.index_add(0, rows.person, tokens[n].sum(rows.weight)) for n, s in sums.items()}
        places.add_keys(tokens, rows)
        salience.append(salience_loss(tokens, rows, batch.num_made_up, beginnings=pooling))
        # the second time a message stands there is nothing to learn from it
        once = rows.is_real - rows.weight if generator.config.passes == 2 else rows.is_real
        language.append(_next_token_loss(network, output.last_hidden_state, rows, once, batch.declining))
    adapter = generator.training_adapter(sums)
    answers = []
    for rows in batch.cues:
        with caught_inputs(network, adapter.updates) as inputs:
            answers.append(_adapted_loss(network, adapter, rows, batch.declining))
        places.add_queries(generator, inputs, rows)
    finding = finding_losses(network, generator, batch) if batch.asking else {}
    parts = {
        "answer": answers,
        "retrieval": [places.loss()],
        **{name: [loss] for name, loss in finding.items()},
        "salience": salience,
        "prompted": [_plain_loss(network, rows, batch.declining) for rows in batch.prompted],
        "again": [_adapted_loss(network, adapter, rows, batch.declining) for rows in batch.predicted],
        "language": language,
    }
    return {name: _mean(each) for name, each in parts.items() if each}


def _plain_loss(network: LlamaForCausalLM, rows: Rows, declining: Sequence[int]) -> tuple[Tensor, Tensor]:
    hidden = network.model(input_ids=rows.ids, use_cache=False).last_hidden_state
    return _next_token_loss(network, hidden, rows, rows.weight, declining)


def _adapted_loss(
    network: LlamaForCausalLM, adapter: Adapter, rows: Rows, declining: Sequence[int]
) -> tuple[Tensor, Tensor]:
    with applied(network, adapter.rows(rows.person)):
        return _plain_loss(network, rows, declining)


def _next_token_loss(
    network: LlamaForCausalLM, hidden: Tensor, rows: Rows, weight: Tensor, declining: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return the sum of the losses of `rows`, weighted by `weight` `[N, T]`, and the sum of the weights.

    Where a reply decides, the tokens `declining` are MARGIN likelier than the network has them.
    """
    # the vocabulary projection is a third of such a small model: only where a token counts
    counted = weight[:, 1:] > 0
    logits = network.lm_head(hidden[:, :-1][counted])
    decided = (rows.mark[:, 1:][counted] == Mark.DECISION).nonzero()
    logits[decided, list(declining)] += MARGIN
    each = functional.cross_entropy(logits, rows.ids[:, 1:][counted], reduction="none")
    weights = weight[:, 1:][counted]
    return (each * weights).sum(), weights.sum()


def _mean(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.stack([loss for loss, _ in parts]).sum() / torch.stack(
        [w for _, w in parts]
    ).sum().clamp_min(1.0)
