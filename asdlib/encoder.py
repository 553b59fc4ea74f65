"""The encoder f: log-mel, timm backbone, embedding; and the two heads that train it."""

import ctypes
import platform

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE, Profile
from asdlib.weights import load_weights

FILTERS_AT_ONCE = 16  # of the mel filters that are multiplied with the same bins


class LogMel(nn.Module):
    """Log-compressed mel spectrogram (section IV-A).

    ``(B, n)`` samples of mean 0 and variance 1 to ``(B, mel bins, frames)``:
    ``log(mel + log_floor)``, or the mel itself where ``log_mel`` is off. The same numbers as
    torchaudio's MelSpectrogram, in a third of its time.
    """

    def __init__(self, profile: Profile):
        super().__init__()
        self.log, self.floor, self.power = profile.log_mel, profile.log_floor, profile.mel_power
        self.size = round(profile.window_seconds * SAMPLE_RATE)
        self.hop = round(profile.hop_seconds * SAMPLE_RATE)
        low, high = profile.mel_low_hz, profile.mel_high_hz
        filters = melscale_fbanks(self.size // 2 + 1, low, high, profile.mel_bins, SAMPLE_RATE)
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)
        # Neighbouring filters weigh few of the bins: a product for each band of them is cheaper.
        self.bands = []
        for first in range(0, profile.mel_bins, FILTERS_AT_ONCE):
            mels = slice(first, first + FILTERS_AT_ONCE)
            used = filters[:, mels].any(dim=1).nonzero().ravel().tolist() or [0]
            self.bands.append((slice(used[0], used[-1] + 1), mels))

    def forward(self, waves: Tensor) -> Tensor:
        rows = 8 if waves.is_cpu else 128  # the spectra of a few rows stay in a CPU's cache
        return torch.cat([self._mel(some) for some in waves.split(rows)]).transpose(1, 2)

    def _mel(self, waves: Tensor) -> Tensor:
        """``(B, frames, mel bins)``."""
        spectrum = torch.stft(waves, self.size, self.hop, window=self.window, return_complex=True)
        squares = torch.view_as_real(spectrum.transpose(1, 2)).square_()
        power = squares[..., 0] + squares[..., 1]  # |z|^2 without the square root in |z|
        power = power if self.power == 2 else power.pow_(self.power / 2)
        products = [power[..., bins] @ self.filters[bins, mels] for bins, mels in self.bands]
        mel = torch.cat(products, dim=2)
        return mel.add_(self.floor).log_() if self.log else mel


class Encoder(nn.Module):
    """f, g_product and g_affine of section III for K product IDs.

    ``forward`` maps waves ``(B, n)`` to embeddings ``(B, 128)``; :meth:`heads` maps those to the
    product logits ``(B, K)`` and the machine logit ``(B,)``.
    """

    def __init__(self, profile: Profile, products: int):
        super().__init__()
        self.logmel = LogMel(profile)
        self.backbone = _backbone(profile)
        size = profile.embedding_size
        # "Global average pooling ... and two non-linear transformations": timm pools, then this.
        self.head = nn.Sequential(
            nn.Dropout(profile.dropout),
            nn.Linear(self.backbone.num_features, size),
            nn.BatchNorm1d(size),
            nn.PReLU(),
            nn.Linear(size, size),
        )
        self.g_product = nn.Linear(size, products, bias=profile.product_bias)
        self.machine_input = profile.machine_input
        self.g_affine = nn.Linear(size if profile.machine_input == "embedding" else 1, 1)
        if profile.machine_input != "embedding":
            start_slope(self.g_affine, profile.machine_slope)

    def forward(self, waves: Tensor) -> Tensor:
        return self.embed(self.logmel(waves))

    def embed(self, mel: Tensor) -> Tensor:
        """Embeddings ``(B, 128)`` of log-mels ``(B, mel bins, frames)``."""
        image = mel[:, None].contiguous(memory_format=torch.channels_last)
        with autocast(image.device):
            pooled = _pooled(self.backbone, image)
        return self.head(pooled)

    def heads(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """g_product(f(x)), ``(B, K)``, and g_affine of Eq. 2, ``(B,)``."""
        if self.machine_input == "norm":
            seen = embedding.norm(dim=1, keepdim=True)
        elif self.machine_input == "mean-square":
            seen = embedding.square().mean(dim=1, keepdim=True)
        else:
            seen = embedding
        return self.g_product(embedding), self.g_affine(seen).squeeze(1)

    def centre(self, machine_logit: Tensor) -> Tensor:
        """Move the offset of g_affine so that the median of ``machine_logit`` becomes 0.

        ``machine_logit`` ``(N,)`` are those of the first batch; returns them moved. The norm of a
        fresh embedding is near 5 and the slope is 1 or -1: with the offset that a linear layer
        starts with, near 0, every clip would be "surely target", or surely not, and Eq. 2 saturated
        before it has learnt anything.
        """
        shift = machine_logit.detach().quantile(0.5)
        with torch.no_grad():
            self.g_affine.bias -= shift
        return machine_logit - shift


def start_slope(g_affine: nn.Linear, machine_slope: str) -> None:
    """Start the slope of Eq. 2 at 1 ("positive"), -1 ("negative") or where it is ("random").

    Eq. 2 itself does not say who gets the small norms. With a slope that starts positive the other
    machines are "collected near the center of the hypersphere" (section III); with a negative one
    the target is. Left to chance, as a linear layer starts by default, it is the seed that decides.
    """
    if machine_slope != "random":
        nn.init.constant_(g_affine.weight, 1 if machine_slope == "positive" else -1)


def _pooled(backbone: nn.Module, image: Tensor) -> Tensor:
    """Globally averaged features of the last convolutional layer, float32 ``(B, num_features)``."""
    features = backbone.forward_features(image)
    where = (1, 2) if _channels_last(backbone) else (2, 3)
    return features.mean(dim=where, dtype=torch.float32)


def _channels_last(backbone: nn.Module) -> bool:
    """Whether features are ``(B, height, width, channels)`` rather than ``(B, channels, ...)``."""
    return getattr(backbone, "output_fmt", "NCHW") == "NHWC"


def _backbone(profile: Profile) -> nn.Module:
    """A timm convolutional network with one input channel and no classifier.

    Raises :class:`InputError` for one that has no feature map, or none of this profile's mel.
    """
    name, pretrained = profile.backbone, profile.pretrained and not profile.weights
    import timm  # takes as long as torch itself, and who only scores needs no network

    if not timm.is_model(name.split(".")[0]):
        raise InputError(f"unknown backbone {name!r}; expected a name of timm.list_models()")
    try:
        net = timm.create_model(name, pretrained=pretrained, in_chans=1, num_classes=0)
    except Exception as error:  # timm, huggingface_hub and urllib each have their own
        if not pretrained:
            raise InputError(f"backbone {name!r} cannot be made: {_in_a_line(error)}") from error
        raise InputError(
            f"the pretrained weights of {name!r} cannot be fetched ({type(error).__name__}); "
            "connect to the internet once, take weights from a file, or train from scratch with "
            "pretrained=False"
        ) from error
    if profile.weights:
        load_weights(net, profile.weights)
    frames = profile.segment_frames // round(profile.hop_seconds * SAMPLE_RATE) + 1
    try:
        with torch.no_grad():
            features = net.eval().forward_features(torch.zeros(1, 1, profile.mel_bins, frames))
    except Exception as error:  # each network says in its own way which sizes it takes
        raise InputError(
            f"backbone {name!r} takes no mel of {profile.mel_bins} bins x {frames} frames: "
            f"{_in_a_line(error)}"
        ) from error
    axis = 3 if _channels_last(net) else 1
    if getattr(features, "ndim", 0) != 4 or features.shape[axis] != net.num_features:
        raise InputError(
            f"backbone {name!r} has no feature map to pool; expected a convolutional network"
        )
    return net.train().to(memory_format=torch.channels_last)


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def device_of(module: nn.Module) -> torch.device:
    """The device a module's parameters are on."""
    return next(module.parameters()).device


def keep_heap() -> None:
    """Have glibc keep the memory that tensors free for those of the next step.

    It would give much of it back to the system, which clears every page anew: measured, a third of
    a training step of the paper profile on a CPU, a tenth of the quick one's. Peaks stay the same.
    """
    if platform.libc_ver()[0] == "glibc":
        m_trim_threshold, m_mmap_max = -1, -4  # of malloc.h
        libc = ctypes.CDLL(None)
        libc.mallopt(m_trim_threshold, -1)  # never
        libc.mallopt(m_mmap_max, 0)


def autocast(device: torch.device):
    """bfloat16 where the device gains from it: CUDA does, CPUs (measured) do not.

    For the backbone only: the norm of a bfloat16 embedding would lose the digits that Eq. 2 and h
    live on, and a bfloat16 mel the quiet bins.
    """
    gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=gains)
