"""Tests in Scipion's way: ``scipion3 tests cryosiam_scipion.tests.test_protocols_cryosiam``."""
