"""Work for a GPU is begun one item ahead, and nothing that was begun is lost."""

import pytest
import torch

from sklearn_cdul.compute.transfers import ahead, fetch, to_device

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def made(count, log):
    for number in range(count):
        log.append(f"make {number}")
        yield number


@pytest.mark.parametrize(
    ("device", "order"),
    [
        (CPU, ["make 0", "take 0", "make 1", "take 1", "make 2", "take 2"]),
        (GPU, ["make 0", "make 1", "take 0", "make 2", "take 1", "take 2"]),
    ],
)
def test_on_a_gpu_the_next_item_is_made_before_the_last_is_taken(device, order):
    log = []
    for number in ahead(made(3, log), device):
        log.append(f"take {number}")
    assert log == order


def test_what_was_made_before_an_error_comes_before_it():
    def broken():
        yield 0
        yield 1
        raise OSError("no such photo")

    taken = []
    with pytest.raises(OSError, match="no such photo"):
        for number in ahead(broken(), GPU):
            taken.append(number)
    assert taken == [0, 1]


def test_a_consumer_that_stops_closes_what_makes_the_items():
    closed = []

    def items():
        try:
            yield from range(9)
        finally:
            closed.append(True)

    source = items()
    taken = ahead(source, GPU)
    assert next(taken) == 0
    taken.close()
    source.close()
    assert closed == [True]


def test_on_a_cpu_tensors_stay_where_they_are():
    tensor = torch.arange(4)
    assert to_device(tensor, CPU) is tensor
    assert fetch(tensor)().tolist() == [0, 1, 2, 3]
