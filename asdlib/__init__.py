"""The serial method for anomalous sound detection: outlier exposure, then inlier modelling.

Read the modules in the order of the data: :mod:`~asdlib.profiles`, :mod:`~asdlib.waves`,
:mod:`~asdlib.batches`, :mod:`~asdlib.encoder`, :mod:`~asdlib.losses`, :mod:`~asdlib.training`,
:mod:`~asdlib.embedding`, :mod:`~asdlib.inliers`, :mod:`~asdlib.scoring`, :mod:`~asdlib.metrics`.
"The paper" in a docstring is: Improvement of Serial Approach to Anomalous Sound Detection by
Incorporating Two Binary Cross-Entropies for Outlier Exposure; equations, tables and sections are
numbered as there. The study around the method, and how a tree of files becomes the clip index that
everything starts from, is the package :mod:`asdstudy`.
"""

from asdlib.errors import InputError

__all__ = ["InputError"]
__version__ = "0.1.0"
