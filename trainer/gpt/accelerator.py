"""What a graphics card needs beyond a processor: its precision, its peak speed, its memory."""

import re
import resource
import sys

import torch

# Dense bfloat16 FLOP/s with float32 accumulation, from NVIDIA's and AMD's data sheets and white papers; where those
# print the figure with sparsity, half of it. A name fits if its words occur in the device's name; the first that does.
PEAKS = (
    ("B200", 2250e12),          # HGX B200
    ("GH200", 989.5e12),        # GH200 Grace Hopper
    ("H200 NVL", 835.5e12),     # H200
    ("H200", 989.5e12),
    ("H100 NVL", 835.5e12),     # H100
    ("H100 PCIe", 756.5e12),
    ("H100", 989.5e12),         # SXM
    ("H800", 989.5e12),
    ("A100", 312e12),           # A100
    ("A800", 312e12),
    ("A40", 149.7e12),          # A40
    ("A10", 125e12),            # A10
    ("RTX A6000", 154.8e12),    # RTX A6000
    ("L40S", 362e12),           # L40S
    ("L40", 181e12),            # L40
    ("L4", 121e12),             # L4
    ("RTX 6000 Ada", 364.2e12), # RTX 6000 Ada
    ("RTX 5090", 209.5e12),     # RTX Blackwell architecture
    ("RTX 4090", 165.2e12),     # Ada GPU architecture
    ("RTX 4080", 97.5e12),
    ("RTX 3090", 71e12),        # GA102 GPU architecture
    ("RTX 3080", 59.5e12),
    ("MI300X", 1307.4e12),      # Instinct MI300X
)


def accelerates(device: torch.device) -> bool:
    """Whether the device computes beside the processor: then batches are made ahead, and first steps only warm up."""
    return device.type != "cpu"


def compiles(device: torch.device) -> bool:
    """Whether programs are compiled for the device. On a CPU that takes longer than a trial, on Apple's it is young."""
    return device.type == "cuda"


def peak_flops(name: str) -> float | None:
    """Dense bfloat16 FLOP/s that a card of this name can do at most; None where the table does not know it."""
    return next((peak for words, peak in PEAKS if re.search(rf"\b{words}\b", name)), None)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def precision(device: torch.device) -> torch.dtype:
    """What matrix products are computed in: bfloat16 where the device has it, float32 on a CPU."""
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float32
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def peak_memory_mb(device: torch.device) -> float:
    """The most memory held so far: the accelerator's where there is one, else the process's own."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if device.type == "mps":
        return torch.mps.driver_allocated_memory() / 2**20  # it only grows, and is all there is
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
