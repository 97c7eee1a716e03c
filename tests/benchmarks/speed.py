"""How fast a model loads, reads and answers here: `python -m tests.benchmarks.speed [MODEL]`.

A benchmark, not a test: machines are shared, so what counts is the ratio of memory on to memory off.
"""

import sys
import time
from statistics import median

from memory.adapter import Adapter
from memory.generator import Generator
from model.base import EMBEDDED, BaseModel
from model.conversation import Exchange, chunks, fold, prompt_ids, turn_tokens
from model.generation import Sampling, stream

NUM_TOKENS = 100
ROUNDS = 5


def main(path: str) -> None:
    """Print the figures of the model in the folder `path`."""
    started = time.perf_counter()
    lm = BaseModel.load(path, device="cpu")
    generator = Generator.from_pretrained(f"{path}/generator")
    print(f"load: {time.perf_counter() - started:.2f} s")

    talk = [Exchange(f"My number {i} is {i * 37}, and I like tea.", "Good to know.") for i in range(30)]
    state = generator.empty_state()
    started = time.perf_counter()
    turns = []
    for exchange in talk:
        turns.append(turn_tokens(lm, exchange))
        state = fold(lm, generator, state, turns[:-1], turns[-1])
    reading = time.perf_counter() - started
    passed_over = [
        ids for i, turn in enumerate(turns) for ids, _ in chunks(generator.config, turns[:i], turn)
    ]
    started = time.perf_counter()
    for ids in passed_over:
        lm.logits(ids)
    plain = time.perf_counter() - started
    print(f"read one turn: {reading / len(talk) * 1000:.1f} ms")
    print(f"read / plain forward passes of the same tokens: {reading / plain:.2f}")
    started = time.perf_counter()
    adapter = generator.adapter(state)
    milliseconds = (time.perf_counter() - started) * 1000
    print(f"make the adapter: {milliseconds:.1f} ms, {adapter.num_bytes} bytes of U and V")
    print(f"state: {len(state.to_bytes())} bytes")

    rates = {}
    for name, on in (("memory off", None), ("memory on", adapter)):
        first, rates[name] = _rate(lm, on)
        print(f"{name}: first token {first * 1000:.0f} ms, {rates[name]:.0f} tokens a second")
    print(f"memory on / memory off: {rates['memory on'] / rates['memory off']:.2f}")


def _rate(lm: BaseModel, adapter: Adapter | None) -> tuple[float, float]:
    """Return the median seconds to the first token, and tokens a second after it."""
    ids = prompt_ids(lm, [], "What did I tell you about my number seven the other day?", 0)
    firsts, rates = [], []
    for seed in range(ROUNDS):
        started = time.perf_counter()
        # hot enough that it does not end at once; a piece may be several tokens, so tokens are counted again
        pieces, first = [], 0.0
        for piece in stream(
            lm, ids, adapter, Sampling(temperature=5.0, max_new_tokens=NUM_TOKENS, seed=seed)
        ):
            first = first or time.perf_counter() - started
            pieces.append(piece)
        num_tokens = max(2, len(lm.tokenizer.encode("".join(pieces), add_special_tokens=False)))
        firsts.append(first)
        rates.append((num_tokens - 1) / (time.perf_counter() - started - first))
    return median(firsts), median(rates)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else str(EMBEDDED))
