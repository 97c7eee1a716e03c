"""The frozen language model: loading it, reading with it, answering with it under an adapter, and training
the shipped one.

| file | what it holds |
|---|---|
| `base.py` | `BaseModel`: any Hugging Face causal language model, in 4 bit or not |
| `application.py` | putting an adapter on a forward pass and taking it off for certain |
| `conversation.py` | turns as tokens: the prompt of an answer, the chunk that is read |
| `generation.py` | streaming an answer |
| `lora.py` | an adapter as files that peft and vLLM read |
| `embedded/` | the weights that ship |
| `training/` | how those were made |
"""
