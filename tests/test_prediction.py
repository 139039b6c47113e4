"""Predicted epochs: a tiny network's kernels, bytes and operations counted by hand, and the roofline over them."""

import json
from collections import Counter

import pytest
import torch

from kit.__main__ import main
from kit.bench import command, throughput
from kit.bench.counting import Kernel, count_step
from kit.bench.prediction import CARDS, Card, card_named, predict_epoch, span, step_seconds, table
from kit.model.parameterbudget import count_parameters
from kit.model.resnet import build
from kit.recipe import RECIPES, Recipe
from kit.train.selection import steps_of_epochs

TINY = Recipe(arch="8/1", batch_size=2)
MAP = 2 * 8 * 32 * 32 * 2  # bytes of one map: 2 images, 8 channels, 32 x 32 pixels, 2 bytes
IMAGES, STEM, FILTERS = 2 * 3 * 32 * 32 * 2, 8 * 3 * 9 * 2, 8 * 8 * 9 * 2  # bytes


def sums(kernels):
    moved, operations, number = Counter(), Counter(), Counter()
    for kernel in kernels:
        moved[kernel.name] += kernel.bytes
        operations[kernel.name] += kernel.flops
        number[kernel.name] += 1
    return moved, operations, number


def test_a_tiny_network_counted_by_hand():
    """Stem and one block: three convolutions with BatchNorm and ReLU, an identity that is added, and a linear layer."""
    moved, operations, number = sums(count_step(TINY, 32))

    stem, conv = 2 * (2 * 8 * 1024) * 27, 2 * (2 * 8 * 1024) * 72
    assert operations["convolution"] == stem + 2 * conv
    assert operations["convolution_backward"] == stem + 4 * conv  # no gradient of the images
    assert operations["addmm"] + operations["mm"] == 3 * 2 * 2 * 10 * 8
    assert number["convolution"] == 3 and number["convolution_backward"] == 5

    assert moved["convolution"] == (IMAGES + STEM + MAP) + 2 * (MAP + FILTERS + MAP)
    assert moved["convolution_backward"] == (MAP + IMAGES + STEM) + 4 * (MAP + FILTERS + MAP)
    assert moved["native_batch_norm"] == 3 * (MAP + 2 * MAP)  # statistics; then read and write
    assert moved["native_batch_norm_backward"] == 3 * (2 * MAP + 3 * MAP)
    assert moved["relu_"] == 3 * 2 * MAP and moved["threshold_backward"] == 3 * 3 * MAP

    weights = 4 * count_parameters(build("8/1"))
    assert moved["optimizer"] == 5 * weights and moved["gradient norm"] == weights
    assert moved["lookahead"] == 7 * weights / 5


def test_what_a_recipe_adds_is_counted():
    weights = 4 * count_parameters(build("8/1"))
    moved, _, _ = sums(count_step(TINY.replace(optimizer="adam", lookahead_k=0, ema=0.9), 32))
    assert moved["optimizer"] == 7 * weights and moved["averages"] == 3 * weights and "lookahead" not in moved
    _, doubled, _ = sums(count_step(TINY.replace(regmixup_alpha=1.0), 32))
    _, single, _ = sums(count_step(TINY, 32))
    assert doubled["convolution"] == 2 * single["convolution"]
    pooled = Recipe(arch="8,8/1,1+pooled", optimizer="muon", lookahead_k=0, batch_size=2)
    _, operations, _ = sums(count_step(pooled, 32))
    assert operations["mm"] > 0  # of the orthogonal matrices


def test_a_kernel_takes_as_long_as_the_slowest_of_its_three_parts():
    card = Card(bandwidth=100e9, peak=10e12)
    moves, computes, starts = Kernel("", 88e6, 1.0), Kernel("", 1.0, 8e9), Kernel("", 1.0)
    assert step_seconds([moves], card, 0.8) == pytest.approx(1e-3)  # 88 MB at 88 % of 100 GB/s
    assert step_seconds([computes], card, 0.8) == pytest.approx(1e-3)
    assert step_seconds([computes], card, 0.4) == pytest.approx(2e-3)
    assert step_seconds([moves, computes, starts], card, 0.8) == pytest.approx(2e-3 + 2e-6)


def test_an_epoch_is_its_steps_at_their_size_of_image():
    recipe = TINY.replace(epochs=4, resize="16x0.5", batch_size=500, skip_easy=0.4)
    steps = steps_of_epochs(recipe, 50_000)
    assert steps == [100, 60, 60, 100]
    small, large = (step_seconds(count_step(recipe, side), CARDS["T4"], 0.8) for side in (16, 32))
    found = predict_epoch("tiny", recipe)
    assert found.seconds["T4"][0] == pytest.approx((160 * small + 160 * large) / 4)
    assert all(least <= most for least, most in found.seconds.values())
    assert [found.seconds[name][1] for name in CARDS] == sorted((s[1] for s in found.seconds.values()), reverse=True)


def test_channels_that_are_no_multiples_of_eight_cost_copies_and_operations():
    even, odd = (predict_epoch("x", TINY.replace(arch=arch)) for arch in ("16/1", "12/1"))
    assert even.padding == 0 and odd.padding > 0
    _, operations, _ = sums(count_step(TINY.replace(arch="12/1"), 32))
    _, wider, _ = sums(count_step(TINY.replace(arch="16/1"), 32))
    assert operations["convolution"] == wider["convolution"]  # 12 channels are computed as 16
    assert "no multiples of 8" in table([odd]) and "no multiples of 8" not in table([even])


def test_the_papers_step_is_what_the_null_gpu_and_the_model_counted():
    found = predict_epoch("paper", RECIPES["paper"])
    assert 6.0 < found.gigabytes < 6.3 and found.padding == 0
    assert found.gflop == pytest.approx(671, abs=2)
    forward = sums(count_step(RECIPES["paper"], 32))[1]["convolution"]
    assert forward + 2 * 128 * 256 * 10 == 128 * throughput.flops(build("paper"))


@pytest.mark.parametrize(
    "device, card",
    [("Tesla T4", "T4"), ("NVIDIA A100-SXM4-40GB", "A100"), ("NVIDIA H100 80GB HBM3", "H100"),
     ("NVIDIA H200", "H200"), ("NVIDIA GeForce RTX 4090", None), ("AMD EPYC 9V74", None)],
)  # fmt: skip
def test_a_card_is_known_by_its_name(device, card):
    assert card_named(device) == card


def test_spans_keep_three_digits():
    assert [span(s) for s in ((0.871, 1.19), (9.04, 13.31), (101.2, 140.6))] == ["0.87-1.19", "9.0-13.3", "101-141"]


def test_the_command_says_that_it_predicts(capsys):
    assert main(["bench", "--predict", "quick", "paper"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("predicted, not measured") and lines[1].split()[-4:] == list(CARDS)
    assert [line.split()[0] for line in lines[2:4]] == ["quick", "paper"]
    assert main(["bench", "--predict", "quick", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["quick"]
    assert answer["predicted"] is True and set(answer["seconds_per_epoch"]) == set(CARDS)
    assert main(["bench", "--predict", "quik"]) == 2
    assert "did you mean quick?" in capsys.readouterr().err


@pytest.mark.slow
def test_a_known_gpu_has_the_prediction_beside_the_measurement(monkeypatch):
    bench = throughput.Bench(command.BenchSettings(arch="4/1", batch_size=16, seconds=0, rounds=1))
    figures = bench.measure()
    assert "predicted_seconds_per_epoch" not in figures["train"] and "predicted" not in command.table(figures)
    machine = throughput.describe_machine(torch.device("cpu")) | {"device": "Tesla T4"}
    monkeypatch.setattr(throughput, "describe_machine", lambda _device: machine)
    least, most = bench._predicted()["predicted_seconds_per_epoch"]
    assert (least, most) == predict_epoch("bench", bench.recipe).seconds["T4"]
    figures["train"] |= bench._predicted()
    assert f"s beside {least:,.2f} to {most:,.2f} s predicted" in command.table(figures)
