"""An adapter as a LoRA folder in the format of peft, which peft, vLLM and others load.

    lora_A = U^T A1   [r, in]    lora_B = scale * B V   [out, r]    lora_alpha = r: scaled already

One rank holds for the whole folder: that of the target with the most directions, padded with zeros to one
that vLLM accepts. Shapes: R state size, r rank.
"""

from collections.abc import Iterable
from pathlib import Path

import torch
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor, nn

from memory.adapter import Adapter, TargetUpdate
from model.base import BaseModel

VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


class NothingToExport(ValueError):
    """The adapter of an empty memory: there is no direction to write."""


def save_lora(adapter: Adapter, lm: BaseModel, folder: Path, dtype: torch.dtype = torch.float32) -> int:
    """Write `adapter` into `folder` as `adapter_config.json` and `adapter_model.safetensors`.

    Args:
        lm: the model it was made for, named in the folder.
        dtype: of the weights on disk; bfloat16 is half as large and rounds each to 3 digits.

    Returns:
        The rank written.

    Raises:
        NothingToExport: the memory is empty.
    """
    needed = max((_factors(update)[0].shape[0] for update in adapter.updates.values()), default=0)
    if needed == 0:
        raise NothingToExport("this memory is empty, so its adapter has nothing to export")
    rank = next((accepted for accepted in VLLM_RANKS if accepted >= needed), needed)
    weights = {}
    for name, update in adapter.updates.items():
        a, b = _factors(update)
        missing = rank - a.shape[0]
        prefix = f"base_model.model.{name}"
        weights[f"{prefix}.lora_A.weight"] = nn.functional.pad(a, (0, 0, 0, missing)).to(dtype).contiguous()
        weights[f"{prefix}.lora_B.weight"] = nn.functional.pad(b, (0, missing)).to(dtype).contiguous()
    config = LoraConfig(
        r=rank,
        lora_alpha=rank,
        target_modules=_named(lm.network, adapter.updates),
        base_model_name_or_path=lm.name,
        task_type="CAUSAL_LM",
        inference_mode=True,
    )
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "adapter_model.safetensors")
    config.save_pretrained(str(folder))
    return rank


def _factors(update: TargetUpdate) -> tuple[Tensor, Tensor]:
    """Return lora_A `[r, in]` and lora_B `[out, r]` of one target, at its true rank."""
    if update.v is None:
        raise ValueError("expected the adapter of a memory, got one that is being trained")
    return (update.u.mT @ update.a1).cpu(), (update.scale * update.b @ update.v).cpu()


def _named(network: nn.Module, targets: Iterable[str]) -> list[str]:
    """Return the shortest names that mean exactly `targets`: `o_proj` rather than every path that ends so."""
    wanted = set(targets)
    short = {name.rpartition(".")[2] for name in wanted}
    meant = {name for name, _ in network.named_modules() if name.rpartition(".")[2] in short}
    return sorted(short if meant == wanted else wanted)
