"""The challenge's autoencoder: shapes, hand-worked errors, and the official score."""

import numpy as np
import pytest
import torch
from conftest import write_clip

from asdlib.batches import Part
from asdlib.errors import InputError
from asdstudy.data import corpora
from asdstudy.data.banks import open_bank
from asdstudy.systems import autoencoder


def part_of(folder, count=3, seconds=10.0) -> Part:
    for number in range(count):
        name = f"section_00_source_train_normal_{number:04d}_.wav"
        write_clip(folder / "fan" / "train" / name, seconds, seed=number)
    bank = open_bank(corpora.index(folder), folder / "waves", progress=False)
    return Part(bank, np.arange(count), np.zeros(count, int), bank.mean, bank.std)


def test_layers_are_the_baselines():
    model = autoencoder.Autoencoder()
    linear = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    sizes = [linear[0].in_features, *[layer.out_features for layer in linear]]
    assert sizes == [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    kinds = [type(layer).__name__ for layer in (*model.encode, *model.decode)]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU"] * 9 + ["Linear"]
    # weights and biases of the dense layers, and two numbers per unit of the normalisations
    dense = sum(a * b + b for a, b in zip(sizes, sizes[1:], strict=False))
    assert sum(p.numel() for p in model.parameters()) == dense + 2 * (8 * 128 + 8) == 267_928


def test_mel_filters_are_slaneys_by_hand():
    """Linear below 1 kHz, 15 mel there, then 27 mel to a factor of 6.4; each filter of area 1."""
    filters = autoencoder.mel_spectrogram().mel_scale.fb  # (513 bins, 128)
    top = 15 + 27 * np.log(8000 / 1000) / np.log(6.4)
    spacing = top / 129 * 1000 / 15  # Hz between centres, 23.4: they overlap half
    peaks = filters[:, :40].argmax(dim=0) * 15.625
    assert np.abs(peaks.numpy() - spacing * np.arange(1, 41)).max() <= 15.625 / 2
    assert filters[:, 100:].sum(dim=0).numpy() * 15.625 == pytest.approx(1, abs=0.02)
    assert filters[:, :40].max() <= 1 / spacing + 1e-6  # the peak of a triangle of area 1


def test_squared_error_by_hand():
    """A decoder that answers (1, 3) to any input: errors of (1, 3), (2, 5), (0, 0)."""
    model = autoencoder.Autoencoder(size=2, hidden=2, code=1).eval()
    last = model.decode[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([1.0, 3.0]))
        errors, code = autoencoder.squared_errors(
            model, torch.tensor([[1.0, 3.0], [2.0, 5.0], [0.0, 0.0]])
        )
    assert errors.tolist() == [0.0, (1 + 4) / 2, (1 + 9) / 2]
    assert code.shape == (3, 1)


def test_five_neighbouring_frames_stand_side_by_side(tmp_path):
    part = part_of(tmp_path, count=2)
    frames = autoencoder.frames_of(part)
    assert len(frames) == 2 * (313 - 4)  # clips of the official length, 10 s
    assert frames.clip.tolist() == [0] * 309 + [1] * 309
    wave = torch.from_numpy(part.bank.sound(part.bank.clips.path[1]) / 32768).float()
    decibel = 10 * autoencoder.mel_spectrogram()(wave).log10()  # of the amplitude as it is
    rows = frames.rows(torch.arange(309, 618))  # of the second clip
    assert rows.shape == (309, 640)
    for frame in (0, 100, 308):
        torch.testing.assert_close(rows[frame], decibel[:, frame : frame + 5].T.flatten())


def test_score_of_a_clip_is_the_official_mean_over_its_frames(tmp_path):
    part = part_of(tmp_path)
    torch.manual_seed(0)
    model = autoencoder.Autoencoder().eval()
    scores, codes = autoencoder.score(model, part)
    assert scores.shape == (3,) and codes.shape == (3, 8)
    frames = autoencoder.frames_of(part)
    for number in range(3):
        rows = frames.rows(torch.arange(309) + 309 * number)
        output = model(rows).detach().numpy().astype(np.float64)
        official = np.mean(np.square(rows.numpy() - output).mean(axis=1))
        assert scores[number] == pytest.approx(official, rel=1e-5)
        torch.testing.assert_close(torch.from_numpy(codes[number]), model.encode(rows).mean(dim=0))


def test_training_lowers_the_error_and_is_the_same_again(tmp_path):
    part = part_of(tmp_path, seconds=2.0)
    model, history = autoencoder.train_autoencoder(part, part, 80, seed=3, progress=False)
    # 80 steps, one per epoch: the running means of the normalisation follow slowly
    assert (np.diff(history.loss) < 0).all()
    assert history.validation_loss.iloc[-1] < 0.9 * history.validation_loss.iloc[0]
    again, _ = autoencoder.train_autoencoder(part, part, 80, seed=3, progress=False)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_a_loss_that_is_no_number_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(autoencoder, "LEARNING_RATE", 1e30)
    part = part_of(tmp_path, seconds=2.0)
    with pytest.raises(InputError, match="the autoencoder's loss is .*nan.* in epoch"):
        autoencoder.train_autoencoder(part, part, 5, seed=3, progress=False)


def test_a_clip_shorter_than_five_frames_is_repeated(tmp_path):
    part = part_of(tmp_path, count=2, seconds=0.05)
    assert set(autoencoder.frames_of(part).clip.tolist()) == {0, 1}
