"""The encoder f: log-mel, timm backbone, embedding; and the two heads that train it."""

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE, Profile

FILTERS_AT_ONCE = 16  # of the mel filters that are multiplied with the same bins


class LogMel(nn.Module):
    """Log-compressed mel spectrogram (section IV-A).

    ``(B, n)`` samples of mean 0 and variance 1 become ``(B, mel bins, frames)``:
    ``log(mel + log_floor)``, or the mel itself where ``log_mel`` is off. Sound shorter than a
    window is repeated. The same numbers as torchaudio's MelSpectrogram, in a third of its time.
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
        if waves.shape[1] < self.size:  # sound of any length has a spectrum: it is repeated
            waves = waves.repeat(1, -(-self.size // waves.shape[1]))[:, : self.size]
        # the spectra of some 256 frames stay in a CPU's cache
        rows = max(256 // (1 + waves.shape[1] // self.hop), 1) if waves.is_cpu else 128
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
            features = self.backbone.forward_features(image)
            # the global average over height and width
            pooled = features.mean(dim=_image_axes(self.backbone), dtype=torch.float32)
        return self.head(pooled)

    def heads(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """g_product(f(x)), ``(B, K)``, and g_affine of Eq. 2, ``(B,)``."""
        machine = embedding
        if self.machine_input == "norm":
            machine = embedding.norm(dim=1, keepdim=True)
        elif self.machine_input == "mean-square":
            machine = embedding.square().mean(dim=1, keepdim=True)
        return self.g_product(embedding), self.g_affine(machine).squeeze(1)

    def centre(self, machine_logit: Tensor) -> Tensor:
        """Move the offset of g_affine so that the first batch's logits ``(N,)`` have a median of 0.

        Returns the moved logits. A fresh embedding has a norm near 5 and the slope is 1 or -1: with
        the usual offset of a linear layer, near 0, every clip would be "surely target", or surely
        not, and Eq. 2 would be saturated before it has learnt anything.
        """
        shift = machine_logit.detach().quantile(0.5)
        with torch.no_grad():
            self.g_affine.bias -= shift
        return machine_logit - shift


def start_slope(g_affine: nn.Linear, machine_slope: str) -> None:
    """Start the slope of Eq. 2 at 1 ("positive") or -1 ("negative"), or leave it ("random").

    Eq. 2 itself does not say who gets the small norms. If the slope starts positive, the other
    machines are "collected near the center of the hypersphere" (section III); if negative, the
    target is. A linear layer starts at random, and then the seed decides.
    """
    if machine_slope != "random":
        nn.init.constant_(g_affine.weight, 1 if machine_slope == "positive" else -1)


def _image_axes(backbone: nn.Module) -> tuple[int, int]:
    """The axes of height and width in a feature map of four."""
    return (1, 2) if getattr(backbone, "output_fmt", "NCHW") == "NHWC" else (2, 3)


def _backbone(profile: Profile) -> nn.Module:
    """A timm convolutional network with one input channel and no classifier, which takes the mel.

    Raises :class:`InputError` for any other.
    """
    name, pretrained = profile.backbone, profile.pretrained
    import timm  # takes as long as torch itself, and scoring alone needs no network

    if not timm.is_model(name.split(".")[0]):
        raise InputError(f"unknown backbone {name!r}; expected a name of timm.list_models()")
    try:
        net = timm.create_model(name, pretrained=pretrained, in_chans=1, num_classes=0)
    except Exception as error:  # timm, huggingface_hub and urllib each have their own
        sentence = f"backbone {name!r} cannot be made: {_in_a_line(error)}"
        if pretrained:
            sentence = (
                f"the pretrained weights of {name!r} cannot be fetched ({type(error).__name__}); "
                "connect to the internet once, take weights from a file, or train from scratch "
                "with pretrained=False"
            )
        raise InputError(sentence) from error
    frames = profile.segment_frames // round(profile.hop_seconds * SAMPLE_RATE) + 1
    try:
        with torch.no_grad():
            features = net.eval().forward_features(torch.zeros(1, 1, profile.mel_bins, frames))
    except Exception as error:  # each network says in its own way which sizes it takes
        raise InputError(
            f"backbone {name!r} takes no mel of {profile.mel_bins} bins x {frames} frames: "
            f"{_in_a_line(error)}"
        ) from error
    channels = 6 - sum(_image_axes(net))  # the one that is left of the axes 1, 2 and 3
    if getattr(features, "ndim", 0) != 4 or features.shape[channels] != net.num_features:
        raise InputError(
            f"backbone {name!r} has no feature map to pool; expected a convolutional network"
        )
    return net.train().to(memory_format=torch.channels_last)


def _in_a_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def device_of(module: nn.Module) -> torch.device:
    """The device a module's parameters are on."""
    return next(module.parameters()).device


def autocast(device: torch.device):
    """bfloat16 where the device gains from it: CUDA does, CPUs (measured) do not.

    For the backbone only: Eq. 2 and h need more digits than a bfloat16 embedding has, and quiet
    mel bins need more than bfloat16 can hold.
    """
    gains = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.autocast(device.type, torch.bfloat16, enabled=gains)
