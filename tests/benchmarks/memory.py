"""Host memory of a training: the peak of a run on 50,000 images, and whether it grows over 50 epochs.

    python -m tests.benchmarks.memory [--arch paper] [--minutes 1] [--epochs 50] [--images 5000]

Random images. The first run is cut off after `--minutes`, before it evaluates; the prediction is measured by itself, on
eight of its batches. Figures are above what importing torch alone takes.
"""

import argparse
import resource
import tempfile
from pathlib import Path

import torch


def megabytes_now():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3 * 1.024


IMPORTED = megabytes_now()  # torch and the standard library, nothing of the kit

from kit.data.loading import Dataset  # noqa: E402
from kit.model.resnet import build  # noqa: E402
from kit.predict import predict  # noqa: E402
from kit.recipe import Recipe  # noqa: E402
from kit.run import Run  # noqa: E402
from kit.system.precision import default_device  # noqa: E402
from kit.train.log import RunLog  # noqa: E402
from kit.train.loop import train  # noqa: E402


def random_images(count):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.randint(10, (count,), generator=generator)


def dataset(train_images, test_images):
    return Dataset(*random_images(train_images), *random_images(test_images), tuple("0123456789"), "random bytes")


def peak_of_a_run(arch, minutes, folder):
    data = dataset(50_000, 10_000)
    print(f"images in memory         {megabytes_now() - IMPORTED:8,.0f} MB")
    recipe = Recipe(arch=arch, epochs=1, lr=0.001)
    train(recipe, data, Run(folder / "peak"), max_hours=minutes / 60, checkpoint_seconds=10)
    print(f"peak of training         {peak_megabytes() - IMPORTED:8,.0f} MB")
    predict(build(recipe.architecture), data.test_images[: 8 * 256], device=default_device())
    print(f"peak with the prediction {peak_megabytes() - IMPORTED:8,.0f} MB  (2,500 MB are allowed)")


def growth_over_epochs(epochs, images, folder):
    held = []
    end_epoch = RunLog.end_epoch

    def noted(log, *arguments):
        end_epoch(log, *arguments)
        held.append(megabytes_now() - IMPORTED)

    RunLog.end_epoch = noted
    recipe = Recipe(arch="8,16/1,1", epochs=epochs, lr=0.001, ema=0.99)
    train(recipe, dataset(images, 1000), Run(folder / "growth"), checkpoint_seconds=5)
    middle = len(held) // 2
    print(f"after epoch 2 {held[1]:,.0f} MB, {middle} {held[middle]:,.0f} MB, {len(held)} {held[-1]:,.0f} MB")
    print(f"growth over the second half {held[-1] - held[middle]:+.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="paper")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--images", type=int, default=5000)
    options = parser.parse_args()
    print(f"{default_device()}, {torch.get_num_threads()} threads; importing torch takes {IMPORTED:,.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        peak_of_a_run(options.arch, options.minutes, Path(folder))
        growth_over_epochs(options.epochs, options.images, Path(folder))


if __name__ == "__main__":
    main()
