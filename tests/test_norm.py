"""The gradients that are written for compiled kernels: values of torch's own operators."""

import copy

import pytest
import torch
from torch import nn

from kit.model import norm
from kit.model.basic import BasicBlock
from kit.model.norm import add_relu, relu


@pytest.fixture
def fused(monkeypatch):
    monkeypatch.setattr(norm, "fuses", lambda _x: True)


def results(block, x):
    """Output, gradients and statistics of a training step whose loss weighs every output differently."""
    x = x.clone().requires_grad_()
    out = block(x)
    out.mul(torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    statistics = [b for name, b in block.named_buffers() if name.endswith(("mean", "var"))]
    return [out, x.grad, *(p.grad for p in block.parameters()), *statistics]


@pytest.mark.parametrize("changes", [(8, 1), (12, 2)], ids=["identity", "convolution-beside"])
@pytest.mark.parametrize("compiled", [False, True], ids=["called", "compiled"])
def test_a_block_trains_as_with_torchs_operators(changes, compiled, monkeypatch):
    torch.manual_seed(0)
    plain = BasicBlock(8, *changes).to(memory_format=torch.channels_last)
    for name, parameter in plain.named_parameters():
        if "bn" in name:
            nn.init.normal_(parameter)
    ours, x = copy.deepcopy(plain), torch.randn(6, 8, 8, 8).contiguous(memory_format=torch.channels_last)
    expected = results(plain, x)
    monkeypatch.setattr(norm, "fuses", lambda _x: torch.compiler.is_compiling() or not compiled)
    got = results(torch.compile(ours, backend="aot_eager", fullgraph=True) if compiled else ours, x)
    assert len(got) == len(expected)
    for tensor, value in zip(got, expected, strict=True):
        assert tensor.dtype == value.dtype
        torch.testing.assert_close(tensor, value, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_a_block_is_as_close_as_torchs_operators(fused, monkeypatch):
    torch.manual_seed(0)
    block, x = BasicBlock(8, 8), torch.randn(32, 8, 8, 8).bfloat16()
    exact = copy.deepcopy(block)
    with torch.autocast("cpu", torch.bfloat16):
        ours = results(copy.deepcopy(block), x)
        monkeypatch.undo()
        plain = results(copy.deepcopy(block), x)
    for tensor, torchs, value in zip(ours, plain, results(exact, x.float()), strict=True):
        assert tensor.dtype == torchs.dtype
        error, usual = ((t.float() - value.float()).norm() / value.float().norm() for t in (tensor, torchs))
        assert error < 1.2 * usual + 1e-6


def test_outside_training_the_running_statistics_are_used(fused, monkeypatch):
    block, x = BasicBlock(4, 4), torch.randn(3, 4, 8, 8)
    block(x)
    block.eval()
    ours = block(x)
    monkeypatch.undo()
    assert torch.equal(ours, block(x))


def test_a_relu_has_no_gradient_at_zero(fused, monkeypatch):
    def gradients():
        x = torch.tensor([-1.0, 0.0, -0.0, 1e-45, 2.0], requires_grad=True)
        y = torch.tensor([1.0, 0.0, 3.0, 0.0, -3.0], requires_grad=True)
        (add_relu(x * 1, y) + relu(x * 1)).sum().backward()
        return x.grad, y.grad

    ours = gradients()
    monkeypatch.undo()
    assert all(map(torch.equal, ours, gradients()))


def test_without_a_compiler_torchs_operators_compute():
    assert not norm.fuses(torch.zeros(1))
    compiled = torch.compile(lambda x: x + norm.fuses(x), backend="eager")
    assert compiled(torch.zeros(1)) == 0  # on a CPU also with it
