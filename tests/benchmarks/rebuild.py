"""What rebuilding a memory costs: `python -m tests.benchmarks.rebuild [TURNS]`.

A benchmark, not a test: what counts is the ratio to the forward passes of the same tokens alone.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from app.chat import Chat
from app.formats import Conversation
from app.settings import Settings
from app.wiring import load_model
from model.conversation import Exchange, chunks, turn_tokens
from storage.store import Store

TURNS_PER_SESSION = 20


def main(num_turns: int) -> None:
    """Print the seconds of a rebuild of `num_turns` turns, of their forward passes alone, and the ratio."""
    said = [
        Exchange(f"My number {i} is {i * 37}, and I like tea.", "Good to know.") for i in range(num_turns)
    ]
    talks = [said[n : n + TURNS_PER_SESSION] for n in range(0, num_turns, TURNS_PER_SESSION)]
    with TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        lm, generator = load_model(settings)
        store = Store.open(settings.database)
        chat = Chat(store, lm, generator, settings)
        chat.welcome("Ada")
        chat.import_sessions("Ada", [Conversation(tuple(talk)) for talk in talks])
        passed_over = [
            [ids for ids, _ in chunks(generator.config, turns[:i], turn)]
            for turns in [[turn_tokens(lm, exchange) for exchange in talk] for talk in talks]
            for i, turn in enumerate(turns)
        ]
        plain = 0.0

        def pass_over(num_turns: int) -> None:
            # turn by turn, so that whatever else the machine does falls on both alike
            nonlocal plain
            began = time.perf_counter()
            for ids in passed_over[num_turns - 1]:
                lm.logits(ids)
            plain += time.perf_counter() - began

        started = time.perf_counter()
        chat.rebuild("Ada", pass_over)
        rebuilt = time.perf_counter() - started - plain
        chat.close()
        store.close()
    print(f"rebuild of {num_turns} turns: {rebuilt:.1f} s, {rebuilt / num_turns * 1000:.1f} ms a turn")
    print(f"the forward passes alone: {plain:.1f} s; ratio {rebuilt / plain:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
