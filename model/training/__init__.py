"""How the embedded model was made: made-up people, natural text, a tokenizer, and one training loop.

| file | what it holds |
|---|---|
| `kinds/*.toml` | kinds of personal facts: how people say them, how they ask about them |
| `scenes/*.toml` | stretches of chat that mention facts in passing, and what may be asked about them |
| `phrases.toml` | what people and the assistant say beside that: greetings, acknowledgements, small talk |
| `facts.py` | kinds, scenes and the facts made of them |
| `values.py` | open-vocabulary values for those facts |
| `people.py` | made-up people: sessions that hold facts, and questions about them |
| `corpus.py` | dialogues and stories read from the data folder |
| `quoting.py` | a message and the reply to it, which names a value and quotes what told it |
| `episodes.py`, `rows.py` | people and text as batches, and as rows of tokens |
| `tokenizer.py` | the tokenizer and the chat template |
| `loop.py`, `losses.py` | the training itself, and what it learns from a batch |
| `retrieval.py`, `pooling.py`, `salience.py` | lessons for keys, for whole messages, for gates |
| `muon.py` | the optimiser of matrices |
| `growing.py`, `averaging.py` | a model that begins as a smaller one, and the mean of several |
| `samples.py`, `generator.py` | apart from all that: the training of a generator for any frozen base |
"""
