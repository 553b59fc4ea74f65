"""Systems: the method and its rivals, a module each, and which variant is which of them.

A system is a module with ``train(task)``, which returns a :class:`~.task.Trained`, ``embed(task,
weights)``, which returns an :class:`~asdlib.embedding.Embedded`, and three facts: ``SEGMENTED``,
whether it embeds segments, or clips as a whole; ``SAYS``, which of the scores that need no h it has
("none", the probability of the product ID; "output", what it says itself; "centroid"); and
``HEARS_OTHERS``, whether it trains on other machine types even without Eq. 2.

A system with one network, or none, also has ``embedder(weights, profile, products)``. It returns
what makes a :class:`~asdlib.batches.Part` the arrays of an Embedded, so that new recordings can be
scored.
"""

from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import NamedTuple

from asdlib.errors import one_of
from asdlib.profiles import ABLATION, Profile, make_profile


class Variant(NamedTuple):
    """A system, by the name of its module, and what it changes in the profile."""

    system: str
    changes: dict = MappingProxyType({})


# No other machines, no Mixup.
_CLASSIFY = {"product_bias": True, "machine_weight": 0.0, "mixup_alpha": 0.0}
_OUTPUT = {"inlier": "output", "inliers": ("output",)}
AUTOENCODER_EPOCHS = 100  # the baseline's; that of `parallel` has as many, whatever its `epochs`

# The other systems of Table II, the challenge's baselines, and what needs no training: as far as
# their descriptions go; the chapter on rivals tells what is guessed.
RIVALS = {
    "ddcsad": Variant(
        "ddcsad",
        {
            "product_rows": "all",  # negatives count in the binary classification
            "product_bias": True,
            "product_weight": 1.0,
            "machine_weight": 0.0,
            "mixup_alpha": 0.0,
            "inlier": "centroid",
            "inliers": ("centroid",),
        },
    ),
    "serial": Variant("softmax", _CLASSIFY),
    "parallel": Variant("parallel", _CLASSIFY | _OUTPUT),
    "ae": Variant("autoencoder", _OUTPUT | {"epochs": AUTOENCODER_EPOCHS, "machine_weight": 0.0}),
    "classifier": Variant(
        "softmax", _CLASSIFY | _OUTPUT | {"backbone": "mobilenetv2_050", "pretrained": False}
    ),
    "spectrum": Variant(
        "spectrum",
        {
            "machine_weight": 0.0,
            "inlier_part": "train",  # nothing was trained, so no clip is better unheard
            "inlier": "Mahalanobis",
            "inliers": ("Mahalanobis", "kNN", "output"),
        },
    ),
}
VARIANTS = {name: Variant("serial", changes) for name, changes in ABLATION.items()} | RIVALS


def profile_of(name: str, machine_type: str, variant: str = "proposed", **overrides) -> Profile:
    """The profile of a run of any variant, as :func:`asdlib.profiles.make_profile` makes it."""
    one_of("variant", variant, VARIANTS)
    if variant in ABLATION:
        return make_profile(name, machine_type, variant, **overrides)
    return make_profile(name, machine_type, rival=VARIANTS[variant].changes, **overrides)


def system_of(variant: str) -> ModuleType:
    """The module of a variant's system: imported when it is needed, since it brings torch."""
    return import_module(f"asdstudy.systems.{VARIANTS[variant].system}")
