"""The memory itself: what was read becomes a fixed-size state, and the state becomes a low-rank adapter.

Knows tensors only. It has no idea of language models, conversations, people or databases.

| file | what it holds |
|---|---|
| `config.py` | `GeneratorConfig`: sizes, targets and ways of reading |
| `state.py` | `MemoryState`: the sums, and their bytes |
| `normalisation.py` | from a sum to directions of equal strength |
| `generator.py` | `Generator`: the learned maps, and their files |
| `adapter.py` | `Adapter`: the low-rank update of each target module |
| `gauge.py` | how full a state is |
| `hub.py`, `published.py` | folders by name, and the checkpoint that the paper's authors published |

Source: GenerativeAdapter (arXiv 2411.05877). The derivation is in README.md beside this file.
"""
