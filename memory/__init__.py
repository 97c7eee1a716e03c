"""The memory itself: what was read becomes a fixed-size state, and the state becomes a low-rank adapter.

Knows tensors only. It has no idea of language models, conversations, people or databases.

| file | what it holds |
|---|---|
| `state.py` | `MemoryState`: the sums, and their bytes |
| `normalisation.py` | from a sum to directions of equal strength |
| `generator.py` | `Generator`: the learned maps, and their files |
| `adapter.py` | `Adapter`: the low-rank update of each target module |

Source: GenerativeAdapter (arXiv 2411.05877). The derivation is in README.md beside this file.
"""
