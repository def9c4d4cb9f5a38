"""Networks of PyTorch: of a class of one's own, with dropout, a buffer that is not saved, and tied parameters."""

from typing import Any

import torch
from sklearn.datasets import load_digits

from clipper_admin.deployers import onnx as onnx_deployer
from clipper_admin.deployers import pytorch as deployer
from tests.fixtures.frameworks import SLO_MICROS, Deployed, packages


class Digits(torch.nn.Module):  # type: ignore[misc]  # torch has no types
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(16.0), persistent=False)
        self.widen = torch.nn.Linear(64, 32)
        self.dropout = torch.nn.Dropout(0.2)
        self.norm = torch.nn.BatchNorm1d(32)
        self.narrow = torch.nn.Linear(32, 10)
        self.again = torch.nn.Linear(64, 32)
        self.again.weight = self.widen.weight

    def forward(self, pixels: Any) -> Any:
        pixels = pixels / self.scale
        return self.narrow(self.dropout(self.norm(torch.relu(self.widen(pixels) + self.again(pixels)))))


def most_probable(network: Any, inputs: Any) -> Any:
    return network(torch.from_numpy(inputs)).argmax(dim=1)


deployed = Deployed()
connection = deployed.connection
options: dict[str, Any] = {"slo_micros": SLO_MICROS, "pkgs_to_install": packages()}

pixels, digits = load_digits(return_X_y=True)
train, held_out = torch.tensor(pixels[:1000], dtype=torch.float32), pixels[1000:].astype("float32")
torch.manual_seed(0)
network = Digits()
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
for _ in range(100):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(train), torch.tensor(digits[:1000])).backward()
    optimizer.step()

deployer.create_endpoint(
    connection, "torch-digits", "floats", most_probable, network, sample_input=held_out[0], **options
)
deployer.create_endpoint(connection, "torch-scores", "doubles", None, network, sample_input=held_out[0], **options)
deployer.deploy_pytorch_model(
    connection,
    "torch-scores",
    1,
    "doubles",
    None,
    network,
    sample_input=held_out[0],
    exist_ok=True,
    pkgs_to_install=packages(),
)
network.eval()
scores = network(torch.from_numpy(held_out)).detach()
deployed.serves("torch-digits", "floats", held_out, scores.argmax(dim=1).numpy())
deployed.serves("torch-scores", "doubles", held_out, scores.numpy())

onnx_deployer.create_pytorch_endpoint(
    connection, "torch-onnx", "floats", train[:1], None, network, sample_input=held_out[0], **options
)
deployed.serves("torch-onnx", "floats", held_out, scores.numpy())

deployed.is_refused(
    "no model", lambda: deployer.deploy_pytorch_model(connection, "torch-bad", 1, "floats", None, network.state_dict())
)
deployed.is_refused(
    "another length",
    lambda: deployer.deploy_pytorch_model(
        connection, "torch-bad", 1, "floats", None, network, sample_input=[1.0], pkgs_to_install=packages()
    ),
)
deployed.tell()
