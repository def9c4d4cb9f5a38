"""The pages of the cookbook that need PyTorch, which is most of a gigabyte."""

import numpy as np
import pytest

from tests.fixtures.cookbook import Reader

pytestmark = pytest.mark.timeout(900)


def test_torch(reader: Reader) -> None:
    own = "[x.tolist(), [float(str(y)) for y in network(x).detach().squeeze(1).numpy()]]"
    rows, outputs = reader.follow("torch", own)

    assert reader.ask("parabola", rows) == pytest.approx(outputs, abs=1e-6)


def test_gpu(reader: Reader) -> None:
    own = "[torch.eye(4).tolist(), layers(torch.eye(4)).softmax(dim=1).tolist()]"
    rows, outputs = reader.follow("gpu", own)

    assert np.array(reader.ask("on-gpu", rows)) == pytest.approx(np.array(outputs), abs=1e-6)
