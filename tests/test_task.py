"""The task of a system: the clips that somebody has of a machine."""

import pytest
from conftest import write_clip
from test_batches import NAME
from test_training import SMALL

from asdlib import InputError
from asdlib.batches import split_clips
from asdstudy.data import open_corpus
from asdstudy.systems import make_profile
from asdstudy.systems.task import reduced


def drawn_bank(corpus, seed=0, **overrides):
    """The clips of a pump with 6 train clips and 2 anomalies of each of two product IDs."""
    _, banks = open_corpus("noise", corpus, progress=False)
    profile = make_profile("quick", "pump", **SMALL | overrides)
    others = [bank for name, bank in banks.items() if name != "pump"]
    split = split_clips(reduced(banks["pump"], profile, seed), others, profile, seed)
    return split.train.bank.clips, split


def test_somebody_has_fewer_clips_and_fewer_are_among_more(corpus):
    """3 of 6 train clips of each product ID; what is left out is in no part."""
    rows = {}
    for count in (3, 5, 6):
        clips, split = drawn_bank(corpus, train_clips=count)
        rows[count] = {*split.train.rows, *split.validation.rows}
        assert clips["product"][sorted(rows[count])].value_counts().to_dict() == {
            "00": count,
            "01": count,
        }
        assert clips.split.value_counts()["test"] == 8
        assert (clips.split == "unused").sum() == 2 * (6 - count)
        assert all((p.bank.clips.split == "train").sum() == 12 for p in split.others_train)
    assert rows[3] < rows[5] < rows[6]
    _, other = drawn_bank(corpus, seed=1, train_clips=3)
    assert {*other.train.rows, *other.validation.rows} != rows[3]
    assert drawn_bank(corpus, train_clips=6)[1].train.rows.tolist() == (
        drawn_bank(corpus)[1].train.rows.tolist()
    )


def test_an_unnoticed_anomaly_is_trained_on_as_normal_and_never_tested(corpus):
    """0.2 of 5 clips: 4 normal ones and an anomaly, of the 6 and 2 that a product ID has."""
    before = drawn_bank(corpus)[0]
    clips, split = drawn_bank(corpus, train_clips=5, contamination=0.2)
    moved = before.index[(before.split == "test") & (clips.split == "train")]
    assert before.label[moved].tolist() == ["anomaly"] * 2
    assert before["product"][moved].tolist() == ["00", "01"]
    assert (clips.label[clips.split == "train"] == "normal").all()
    assert {*moved} < {*split.train.rows, *split.validation.rows}
    counts = clips[clips.split == "test"].groupby(["product", "label"]).size()
    assert counts.to_dict() == {
        (p, label): n for p in ("00", "01") for label, n in (("normal", 2), ("anomaly", 1))
    }
    normal = {*clips.index[clips.split == "train"]} - {*moved}
    without = drawn_bank(corpus, train_clips=5)[0]
    assert normal < {*without.index[without.split == "train"]}


def test_clips_of_an_event_are_drawn_together(tmp_path):
    """Two of four events with three clips each hold the 4 clips that are asked for."""
    for number in range(12):
        name = NAME.format(product=0, number=number)
        write_clip(tmp_path / f"pump/train/{name}_clip_{number // 3:08d}_mic_1.wav", seed=number)
    clips, _ = drawn_bank(tmp_path, machine_weight=0.0, train_clips=4)
    kept = clips[clips.split == "train"].event.value_counts()
    assert kept.tolist() == [3, 3]


def test_too_few_clips_or_anomalies_to_draw(corpus):
    with pytest.raises(InputError, match="corpus/pump: product ID 00 has 6 train clips; .* 7"):
        drawn_bank(corpus, train_clips=7)
    with pytest.raises(InputError, match="pump: product ID 00 has 2 anomalous .* more than 2"):
        drawn_bank(corpus, contamination=1 / 3)
    with pytest.raises(InputError, match="contamination is 0.6; expected"):
        drawn_bank(corpus, contamination=0.6)
