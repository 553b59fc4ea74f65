"""The split, the batches and the validation batch."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_clip, write_corpus
from test_training import split_of

from asdlib import InputError, batches


def test_split_is_stratified_and_seeded(corpus):
    split, _ = split_of(corpus, validation_share=1 / 3)
    assert sorted(split.train.products) == [0] * 4 + [1] * 4
    assert sorted(split.validation.products) == [0, 0, 1, 1]
    assert not set(split.train.rows) & set(split.validation.rows)
    again, _ = split_of(corpus, validation_share=1 / 3)
    other, _ = split_of(corpus, seed=1, validation_share=1 / 3)
    assert again.validation.rows.tolist() == split.validation.rows.tolist()
    assert other.validation.rows.tolist() != split.validation.rows.tolist()


NAME = "section_{product:02d}_source_train_normal_{number:04d}"


def write_clips(root, counts, name=NAME):
    """Train clips of noise, ``counts`` of each product ID of a pump."""
    for product, count in enumerate(counts):
        for number in range(count):
            path = root / f"pump/train/{name.format(product=product, number=number)}.wav"
            write_clip(path, seed=100 * product + number)
    return root


@pytest.mark.parametrize("seed", range(4))
def test_every_product_is_in_both_parts(tmp_path, seed):
    """60 and 3 clips: a stratified 10 % is [6, 0]."""
    split, _ = split_of(write_clips(tmp_path, (60, 3)), seed=seed, machine_weight=0.0)
    assert set(split.validation.products) == set(split.train.products) == {0, 1}
    assert (split.validation.products == 1).sum() == 1
    assert len(split.train) + len(split.validation) == 63


def test_an_event_is_in_one_part(tmp_path):
    """Several microphones hear one clip."""
    for number in range(40):
        name = NAME.format(product=number % 2, number=number)
        write_clip(tmp_path / f"pump/train/{name}_clip_{number // 4:08d}_mic_1.wav", seed=number)
    split, _ = split_of(tmp_path, machine_weight=0.0, validation_share=0.3)
    clips = split.train.bank.clips
    events = clips["product"] + clips.event
    assert events.nunique() == 20
    train, validation = (set(events.iloc[p.rows]) for p in (split.train, split.validation))
    assert not train & validation and len(validation) == 6


def test_a_recording_is_in_one_part(tmp_path):
    """The clips that were cut from one recording sound alike."""
    write_clips(tmp_path, (12, 12))
    listing = pd.DataFrame(
        {
            "clip": [f"train/{path.name}" for path in sorted((tmp_path / "pump/train").iterdir())],
            "recording": [f"take-{number // 3}" for number in range(24)],
        }
    )
    listing.to_csv(tmp_path / "pump/recordings.csv", index=False)
    split, _ = split_of(tmp_path, machine_weight=0.0, validation_share=0.25)
    events = split.train.bank.clips.event
    train, validation = (set(events.iloc[p.rows]) for p in (split.train, split.validation))
    assert not train & validation and len(validation) == 2
    listing.rename(columns={"recording": "origin"}).to_csv(tmp_path / "pump/recordings.csv")
    with pytest.raises(InputError, match="recordings.csv: columns .*expected clip and recording"):
        split_of(tmp_path)


def test_a_product_of_one_recording_cannot_be_divided(tmp_path):
    write_clips(tmp_path, (4,), NAME + "_clip_7")
    with pytest.raises(InputError, match="pump: product ID 00 has 1 recording to train on"):
        split_of(tmp_path, machine_weight=0.0)


def test_too_few_clips_for_batch_norm(tmp_path):
    """One clip to train on has no variance; other machines beside it would do."""
    with pytest.raises(InputError, match="pump: 1 clip to train on, and 1 for validation"):
        split_of(write_clips(tmp_path, (2,)), machine_weight=0.0)


@pytest.mark.parametrize("clips", range(3, 12))
def test_no_batch_is_of_a_single_row(tmp_path, clips):
    split, profile = split_of(write_clips(tmp_path, (clips,)), machine_weight=0.0, batch_size=4)
    epoch = batches.balanced_batches(split, profile, np.random.default_rng(0))
    sizes = [len(batch.machine) for batch in epoch]
    assert min(sizes) >= 2 and sum(sizes) == len(split.train)
    assert len(sizes) == batches.steps_an_epoch(split, profile)


def test_batches_are_half_target_and_an_epoch_is_one_pass(corpus):
    split, profile = split_of(corpus)
    rng = np.random.default_rng(0)
    epoch = list(batches.balanced_batches(split, profile, rng))
    assert len(epoch) == batches.steps_an_epoch(split, profile) == 3  # 10 clips, 4 per batch
    assert sum(int(b.machine.sum()) for b in epoch) == len(split.train) == 10
    for batch in epoch:
        assert batch.machine.mean() == 0.5
        assert batch.waves.shape == (len(batch.machine), profile.segment_frames)
        target = batch.machine == 1
        assert (batch.product[target].sum(1) == 1).all() and (batch.product[~target] == 0).all()


def test_without_machine_loss_there_are_no_negatives(corpus):
    split, profile = split_of(corpus, machine_weight=0.0)
    for batch in batches.balanced_batches(split, profile, np.random.default_rng(0)):
        assert (batch.machine == 1).all()
    assert batches.steps_an_epoch(split, profile) == 3  # as many as with negatives


def test_negatives_may_be_kept_without_machine_loss(corpus):
    """The same batches as with L_machine, validation too."""
    kept, profile = split_of(corpus, machine_weight=0.0, keep_others=True)
    usual, _ = split_of(corpus)
    pairs = [
        *zip(
            *(
                batches.balanced_batches(s, profile, np.random.default_rng(0))
                for s in (kept, usual)
            ),
            strict=True,
        ),
        tuple(batches.validation_batch(s, profile, seed=0) for s in (kept, usual)),
    ]
    for one, other in pairs:
        assert torch.equal(one.waves, other.waves) and torch.equal(one.machine, other.machine)
        assert one.machine.mean() == 0.5


def test_normalisation_switch(tmp_path):
    """The others are scaled by the target's statistics, or by their own."""
    write_corpus(tmp_path)
    target, _ = split_of(tmp_path)
    own, _ = split_of(tmp_path, normalisation="own")
    assert target.others_train[0].std == target.train.std
    assert own.others_train[0].std == own.others_train[0].bank.std != own.train.std


def test_each_row_is_scaled_by_the_statistics_of_its_part(tmp_path):
    write_corpus(tmp_path)
    for choice in ("target", "own"):
        split, profile = split_of(tmp_path, normalisation=choice)
        parts = [split.train, *split.others_train]
        which, length = np.arange(3), profile.segment_frames
        starts = [part.random_starts(which, length, np.random.default_rng(0)) for part in parts]
        expected = [
            batches.normalise(part.bank.gather(part.rows[which], s, length), part.mean, part.std)
            for part, s in zip(parts, starts, strict=True)
        ]
        crops = batches.crops(parts, [which] * len(parts), starts, length)
        assert torch.equal(crops, torch.cat(expected))


def test_a_machine_alone_needs_product_only(tmp_path):
    write_corpus(tmp_path, ("pump",))
    with pytest.raises(InputError, match="pump: no other machine type beside it"):
        split_of(tmp_path)
    split, _ = split_of(tmp_path, machine_weight=0.0)
    assert split.others_train == ()
