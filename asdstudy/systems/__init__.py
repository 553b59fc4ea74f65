"""Systems: the method and its rivals, one module each, and which of them each variant is.

A system is a module with ``train(task)``, which returns a :class:`~.task.Trained`, ``embed(task,
weights)``, which returns an :class:`~asdlib.embedding.Embedded`, and three facts: ``SEGMENTED``,
whether it embeds segments, or clips as a whole; ``SAYS``, its scores without a fitted h ("none",
the probability of the product ID; "output", an anomaly score of its own; "centroid"); and
``HEARS_OTHERS``, whether it trains on other machine types even without Eq. 2.

``embedder(weights, profile, products)`` returns what makes a :class:`~asdlib.batches.Part` the
arrays of an Embedded, so that new recordings can be scored. With ``BY_PRODUCT`` these depend on the
product ID that a clip is said to be of.
"""

from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import NamedTuple

from asdlib.errors import one_of
from asdlib.profiles import PROFILES, TABLE_I, Profile


class Variant(NamedTuple):
    """A system, by the name of its module, and what it changes in the profile.

    ``quick`` is what trials chose for it in the profile of that name (workflow/evidence.py).
    """

    system: str
    changes: dict
    quick: dict = MappingProxyType({})


# The ablation of Table III, and two more ways to take the method apart.
ABLATION = {
    "proposed": {},
    "no-mixup": {"mixup_alpha": 0.0},
    "product-only": {"machine_weight": 0.0},
    "machine-only": {"product_weight": 0.0},
    "no-norm-head": {"machine_input": "embedding"},
}
_ALONE = {"machine_weight": 0.0}  # without the other machines
_CLASSIFY = _ALONE | {"product_bias": True, "mixup_alpha": 0.0}
_OUTPUT = {"inlier": "output", "inliers": ("output",)}
_CENTROID = {"inlier": "centroid", "inliers": ("centroid",)}
_SPECTRUM = {"inlier": "Mahalanobis", "inliers": ("Mahalanobis", "kNN", "output")}
_SHORTER = {"epochs": 50}
AUTOENCODER_EPOCHS = 100  # the baseline's, and in `parallel`, too, whatever its `epochs`

# The other systems of Table II, the challenge's baselines, and one without training, as far as
# their descriptions go; the chapter on rivals names the guesses.
RIVALS = {
    # negatives count in DDCSAD's binary classification
    "ddcsad": Variant(
        "ddcsad", _CLASSIFY | _CENTROID | {"product_rows": "all", "product_weight": 1.0}, _SHORTER
    ),
    "serial": Variant("softmax", _CLASSIFY, _SHORTER),
    "parallel": Variant("parallel", _CLASSIFY | _OUTPUT, _SHORTER),
    "ae": Variant("autoencoder", _ALONE | _OUTPUT | {"epochs": AUTOENCODER_EPOCHS}),
    "classifier": Variant(
        "softmax",
        _CLASSIFY | _OUTPUT | {"backbone": "mobilenetv2_050", "pretrained": False},
        _SHORTER,
    ),
    # nothing was trained, so no clip needs to be held out
    "spectrum": Variant("spectrum", _ALONE | _SPECTRUM | {"inlier_part": "train"}),
}
VARIANTS = {name: Variant("serial", changes) for name, changes in ABLATION.items()} | RIVALS


def make_profile(name: str, machine_type: str, variant: str = "proposed", **overrides) -> Profile:
    """The profile of one run: by name, Table I for the machine type, the variant, then overrides.

    Only learning rate and batch size of Table I apply to a rival: h and weights are the method's.
    """
    one_of("profile", name, PROFILES)
    one_of("variant", variant, VARIANTS)
    row = TABLE_I.get(machine_type, {}) if name == "paper" else {}
    if variant in RIVALS:
        row = {field: row[field] for field in ("learning_rate", "batch_size") if field in row}
    _, changes, quick = VARIANTS[variant]
    row |= quick if name == "quick" else {}
    return PROFILES[name].replace(**(row | changes | overrides))


def system_of(variant: str) -> ModuleType:
    """The module of a variant's system, imported only when needed, since it imports torch."""
    return import_module(f"asdstudy.systems.{VARIANTS[variant].system}")
