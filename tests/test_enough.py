"""Whether there are enough vectors for every h; those of copies and short clips: test_disk."""

import pytest
from test_scoring import PROFILE, embedded

from asdlib import InputError
from asdlib.embedding import Embedded
from asdlib.profiles import Profile
from asdstudy.runs.enough import check_fit


def test_too_few_clips_for_p_names_the_product():
    profile = Profile(pretrained=False, inlier="GMM", inlier_size=64)
    with pytest.raises(InputError, match="pump: product ID 00: 32 embeddings are too few for GMM"):
        check_fit(embedded(2), ("00", "01"), profile)


# p - 1 weights, p means of 3 numbers, and p symmetric matrices or diagonals
@pytest.mark.parametrize(
    "covariance, parameters", [("full", 1 + 2 * 3 + 2 * 6), ("diag", 1 + 2 * 3 + 2 * 3)]
)
def test_more_parameters_than_numbers_is_said(covariance, parameters):
    fit = embedded(1, clips=2)
    fit = Embedded(fit.clips, fit.embeddings[:, :2])
    with pytest.warns(UserWarning, match=f"p = 2 has {parameters} parameters, but 4 vectors of 3"):
        check_fit(fit, ("00",), PROFILE.replace(covariance=covariance))
