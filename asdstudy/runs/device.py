"""The memory that a run computes in: the process's own, and that of a CUDA device."""

import ctypes
import platform
import warnings
from dataclasses import dataclass

import numpy as np
import torch

from asdlib.waves import WaveBank
from asdstudy.paths import gigabytes

DEVICE_RESERVE = 8e9  # bytes of a device's memory for network, batch and optimiser


@dataclass(frozen=True)
class DeviceBank(WaveBank):
    """A bank whose crops are cut where its samples are: ``on_device`` ``(total frames,)`` int16.

    The train clips of DCASE 2021 take 13 GB and the test clips 3 more, and a batch then costs no
    copy to the device.
    """

    on_device: torch.Tensor = None

    def gather(self, clips: np.ndarray, starts: np.ndarray, length: int, out=None) -> torch.Tensor:
        """As :meth:`WaveBank.gather`, but always as a new tensor on the device."""
        firsts = self.offsets[clips] + starts
        room = np.minimum(self.offsets[clips] + self.frames[clips] - firsts, length)
        device = self.on_device.device
        where = torch.from_numpy(np.stack([firsts, room]))
        if device.type == "cuda":  # from pinned memory, so that nobody waits for the copy
            where = where.pin_memory()
        firsts, room = where.to(device, non_blocking=True)
        steps = torch.arange(length, device=device)
        return self.on_device[firsts[:, None] + steps % room[:, None]]


def on(bank: WaveBank, device) -> DeviceBank:
    """The same bank with its samples on a device, 2 bytes each."""
    samples = torch.tensor(np.asarray(bank.samples), device=device)
    return DeviceBank(**vars(bank), on_device=samples)


def onto_device(banks: dict[str, WaveBank], names: list[str] | None = None) -> dict[str, WaveBank]:
    """``banks`` with those of ``names`` (all) on the CUDA device, if they fit beside a network."""
    moved = {name: bank for name, bank in banks.items() if names is None or name in names}
    size, (free, _) = sum(bank.samples.nbytes for bank in moved.values()), torch.cuda.mem_get_info()
    if size + DEVICE_RESERVE > free:
        warnings.warn(
            f"the clips take {gigabytes(size)}, and {gigabytes(free)} are free on the device: "
            "they stay in memory, which is slower",
            stacklevel=3,
        )
        return banks
    return banks | {name: on(bank, "cuda") for name, bank in moved.items()}


def keep_heap() -> None:
    """Have glibc keep the memory that tensors free for those of the next step.

    Otherwise it gives much of it back to the system, which clears every page again. On a CPU that
    took a third of a training step of the paper profile, and a tenth of the quick one's. Peaks stay
    the same.
    """
    if platform.libc_ver()[0] == "glibc":
        m_trim_threshold, m_mmap_max = -1, -4  # of malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(m_trim_threshold, -1)  # never
        libc.mallopt(m_mmap_max, 0)
