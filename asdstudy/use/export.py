"""Export: the encoder of a run as an ONNX file, from samples to embeddings, log-mel included."""

import io
import json
import warnings

import torch
from torch import Tensor, nn

from asdlib.encoder import Encoder
from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.use.detector import Detector

OPSET = 17


class FromSamples(nn.Module):
    """``(N, n)`` samples within -1 and 1 to embeddings ``(N, 128)`` and product logits ``(N, K)``.

    The same as normalisation and encoder, but with the Fourier transform as a convolution: ONNX has
    no operator for torch.stft. The filters are made in float64.
    """

    def __init__(self, encoder: Encoder, mean: float, std: float):
        super().__init__()
        self.encoder, self.mean, self.std = encoder, mean, std
        logmel = encoder.logmel
        self.hop, self.margin = logmel.hop, logmel.size // 2
        self.log, self.floor, self.exponent = logmel.log, logmel.floor, logmel.power / 2
        times = torch.arange(logmel.size, dtype=torch.float64)
        angles = 2 * torch.pi / logmel.size * torch.outer(torch.arange(self.margin + 1), times)
        waves = torch.cat([angles.cos(), angles.sin()]) * logmel.window.double()
        self.register_buffer("waves", waves.float()[:, None])  # (2 * bins, 1, size)
        self.register_buffer("filters", logmel.filters.T.contiguous())  # (mel bins, bins)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        scaled = ((samples - self.mean) / self.std)[:, None]
        padded = nn.functional.pad(scaled, (self.margin, self.margin), mode="reflect")
        parts = nn.functional.conv1d(padded, self.waves, stride=self.hop).square()
        cosines, sines = parts.split(self.margin + 1, dim=1)
        mel = self.filters @ (cosines + sines) ** self.exponent + self.floor  # (N, bins, frames)
        embedding = self.encoder.embed(mel.log() if self.log else mel)
        return embedding, self.encoder.heads(embedding)[0]


def export(detector: Detector) -> bytes:
    """The content of an ONNX file with the encoder of a run.

    Its input ``samples`` are float32 ``(N, n)``, a segment each; its outputs are ``embeddings`` and
    ``product_logits``. The metadata say how a clip is cut into segments. Raises :class:`InputError`
    for a system other than the method, and where the package onnx is missing.
    """
    encoder, profile, file = detector.run.encoder(), detector.profile, io.BytesIO()
    try:
        import onnx
    except ImportError:
        folder = detector.folder
        raise InputError(f"{folder}: onnx is not installed; expected the extra `onnx`") from None
    samples = torch.zeros(2, profile.segment_frames)
    names = ["samples", "embeddings", "product_logits"]
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of the tracing: sizes but the first are fixed
        torch.onnx.export(
            FromSamples(encoder, detector.mean, detector.std).eval(), (samples,), file,
            input_names=names[:1], output_names=names[1:], opset_version=OPSET, dynamo=False,
            dynamic_axes={name: {0: "segments"} for name in names},
        )  # fmt: skip
    model = onnx.load_from_string(file.getvalue())
    about = {
        "run": detector.folder.name,
        "sample_rate": SAMPLE_RATE,
        "segment_frames": profile.segment_frames,
        "segments": profile.segments,
        "products": detector.products,
    }
    for name, value in about.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = name, json.dumps(value)
    onnx.checker.check_model(model)
    return model.SerializeToString()
