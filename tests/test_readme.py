"""What the README shows a programmer runs as it stands."""

import re
from pathlib import Path

import torch

README = Path(__file__).parents[1] / "README.md"


def test_the_guide_to_the_library_runs(tiny_model: Path) -> None:
    (guide,) = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(guide.replace("PATH_OR_NAME", str(tiny_model)), names)
    logits, lm, state = names["logits"], names["lm"], names["state"]
    assert torch.is_tensor(logits)
    merged = lm.logits(names["token_ids"])  # type: ignore[attr-defined]
    torch.testing.assert_close(merged, logits, rtol=1e-4, atol=1e-4)
    assert state.sums["model.layers.0.self_attn.o_proj"].shape == (16, 16)  # type: ignore[attr-defined]
