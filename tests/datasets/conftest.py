"""Small folders in the formats of VOC, COCO and NUS-WIDE."""

import pytest

from tests.datasets.trees import write_coco, write_nus_wide, write_voc


@pytest.fixture
def voc(tmp_path):
    write_voc(tmp_path)
    return tmp_path


@pytest.fixture
def coco(tmp_path):
    write_coco(tmp_path)
    return tmp_path


@pytest.fixture
def nus(tmp_path):
    write_nus_wide(tmp_path)
    return tmp_path
