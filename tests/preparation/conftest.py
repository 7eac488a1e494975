"""The data set of the tests of training, to be inspected."""

from tests.datasets.conftest import data_root, pipeline  # noqa: F401  (fixtures)
