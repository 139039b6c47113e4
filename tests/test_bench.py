"""The benchmark's object and table on a tiny setting, and the figures' arithmetic."""

import json
from types import SimpleNamespace

import pytest
import torch
from torch.autograd import DeviceType

from kit.__main__ import main
from kit.bench import command as bench
from kit.bench.stepprofile import _busy
from kit.bench.throughput import (
    EPOCH_IMAGES,
    Bench,
    _products_as_convolutions,
    float32_convolutions,
    matrix_product_rate,
)
from kit.errors import KitError
from kit.model.resnet import build
from kit.model.summary import flops
from kit.train.batches import CHUNK_IMAGES

TINY = ["--arch=4/1", "--batch_size=16", "--seconds=0", "--rounds=1"]


@pytest.fixture(scope="module")
def figures():
    return Bench(bench.BenchSettings(arch="4/1", batch_size=16, seconds=0, rounds=3)).measure()


@pytest.mark.slow
def test_json_is_one_complete_object(capsys, tmp_path):
    assert main(["bench", *TINY, "--json", f"--profile={tmp_path / 'profile.txt'}"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"augment", "train", "predict"}
    for phase in answer.values():
        assert phase["ratio"] == pytest.approx(phase["images_per_second"] / phase["paper_images_per_second"])
        assert len(phase["rounds"]) == len(phase["paper_rounds"]) == 1
        assert {"device", "threads", "workers", "amp", "arch", "batch_size", "torch"} <= set(phase)
    profile = (tmp_path / "profile.txt").read_text()
    assert "convolution_backward" in profile and "Self CPU" in profile


@pytest.mark.slow
def test_figures_are_medians_and_shares_of_the_measured_peak(figures):
    train, predict = figures["train"], figures["predict"]
    for phase in figures.values():
        assert phase["images_per_second"] == sorted(phase["rounds"])[1]
        assert phase["paper_images_per_second"] == sorted(phase["paper_rounds"])[1]
    forward = flops(build("4/1"))
    assert train["tflops"] == pytest.approx(3 * forward * train["images_per_second"] / 1e12)
    assert predict["tflops"] == pytest.approx(forward * predict["images_per_second"] / 1e12)
    assert train["share_of_peak"] == pytest.approx(train["tflops"] / train["peak_tflops"])
    assert train["seconds_per_epoch"] == pytest.approx(EPOCH_IMAGES / train["images_per_second"])
    assert train["augmentation_share"] == pytest.approx(
        train["images_per_second"] / figures["augment"]["images_per_second"]
    )


def test_the_table_has_a_row_a_phase(figures):
    text = bench.table(figures)
    assert [line.split()[0] for line in text.splitlines()[2:5]] == ["augment", "train", "predict"]
    assert f"{figures['train']['share_of_peak']:.1%}" in text


def test_the_rate_of_matrix_products_counts_a_multiply_and_an_add(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))  # a product a second
    assert matrix_product_rate(torch.device("cpu"), torch.float32, seconds=3) == 2 * 2048**3


def test_annotations_are_not_counted_as_kernels():
    """The profiler lists `Optimizer.step` as an event of the GPU; it spans the gap between two kernels."""

    def event(start, end, annotation=False):
        span = SimpleNamespace(start=start, end=end)
        return SimpleNamespace(device_type=DeviceType.CUDA, time_range=span, is_user_annotation=annotation)

    events = [event(0, 10), event(0, 100, annotation=True), event(60, 100)]
    assert _busy(SimpleNamespace(events=lambda: events)) == "2 kernels in 100 us: busy 50 us, gaps 50 us"


@pytest.mark.slow
def test_augmentation_is_timed_on_four_whole_chunks():
    ours = Bench(bench.BenchSettings(arch="4/1", seconds=0))
    assert len(ours.images) == 4 * 128 and len(ours.to_augment.images) == 4 * CHUNK_IMAGES


def test_float32_is_measured_as_convolutions_multiply_it(monkeypatch):
    """From Ampere on, cuDNN multiplies float32 in TF32, which products of matrices do not by default."""
    cuda = torch.device("cuda", 0)
    for capability, expected in (((7, 5), "float32"), ((8, 0), "tf32"), ((9, 0), "tf32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device, c=capability: c)
        assert float32_convolutions(cuda) == expected
        with _products_as_convolutions(cuda):
            assert torch.backends.cuda.matmul.allow_tf32 is (expected == "tf32")
        assert not torch.backends.cuda.matmul.allow_tf32
    assert float32_convolutions(torch.device("cpu")) == "float32"


@pytest.mark.parametrize(
    "words, sentence",
    [
        ("--arch=huge", "arch 'huge' is not known"),
        ("--rounds=0", "rounds has to be a whole number from 1"),
        ("--batch_size=20000", "batch_size has to be at most 10000"),
        ("--amp=fp8", "amp has to be one of auto, bf16, fp16, fp32"),
    ],
)
def test_a_bad_setting_is_one_sentence(words, sentence, capsys):
    assert main(["bench", words]) == 2
    assert sentence in capsys.readouterr().err


def test_real_images_may_be_measured():
    assert len(Bench(bench.BenchSettings(arch="4/1", data="digits", seconds=0)).images) == 4 * 128
    with pytest.raises(KitError, match="batch_size has to be at most 287"):
        Bench(bench.BenchSettings(arch="4/1", batch_size=512, data="digits"))
