"""No number in the README that a run did not make."""

import pandas as pd
from conftest import ROOT

from asdstudy.runs import sweeps


def test_the_table_of_the_readme_is_the_measured_one():
    table = pd.read_csv(ROOT / "book" / "measured" / "uav.csv", keep_default_na=False)
    assert sweeps.markdown(table) in (ROOT / "README.md").read_text()
    assert sorted(table.seed.unique()) == [0, 1, 2, 3, 4]
