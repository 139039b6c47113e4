"""Print the throughput of the augmentation beside torchvision's: `python tests/benchmarks/augment.py`.

Three tables, on the same images in the same run: the whole training pipeline (crop, flip, AutoAugment, to float,
normalise, Cutout) on one core, on all cores and on a GPU, with peak memory and its share of a bf16 training step; every
operation on one core; and, with --pil, how far torchvision's own PIL operations are from its tensor operations.
"""

import argparse
import multiprocessing
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
import torchvision
from PIL import Image
from torch.nn import functional as F
from torchvision import transforms
from torchvision.transforms import InterpolationMode, autoaugment, functional, v2

sys.path.insert(0, str(Path(__file__).parents[2]))
from kit.augment import crop, policies
from kit.augment import pipeline as augment
from kit.augment.plans import NAMES, Plan, apply
from kit.data import loading as data
from kit.model import resnet as model

NEAREST = InterpolationMode.NEAREST
CIFAR10 = autoaugment.AutoAugmentPolicy.CIFAR10
PIPELINE = augment.Pipeline(4, "zero", True, "autoaugment", cutout=8)


class Cutout:
    """One square of 8 pixels on one normalised image, as in DeVries and Taylor's transform."""

    def __call__(self, image):
        y, x = (int(torch.randint(size, ())) for size in image.shape[1:])
        image[:, max(0, y - 4) : y + 4, max(0, x - 4) : x + 4] = 0
        return image


def torchvision_pipeline(way):
    """The paper's transforms for one image."""
    if way == "PIL":
        first = [
            transforms.RandomCrop(32, 4),
            transforms.RandomHorizontalFlip(),
            transforms.AutoAugment(CIFAR10),
        ]
        to_float = transforms.ToTensor()
    else:
        first = [v2.RandomCrop(32, 4), v2.RandomHorizontalFlip(), v2.AutoAugment(CIFAR10)]
        to_float = v2.ToDtype(torch.float32, scale=True)
    return transforms.Compose([*first, to_float, transforms.Normalize(augment.MEAN, augment.STD), Cutout()])


def pil_images(images):
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]


def load_images(source, count):
    """uint8 (count, 3, 32, 32), from all over the training set, repeated where there are fewer."""
    images = data.load(source).train_images
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order.repeat(-(-count // len(images)))[:count]].contiguous()


def rate(action, count, seconds, device="cpu"):
    """Images a second: the best of several passes over `count` images, in `seconds` at least.

    On one thread the processor's time is taken, which other programs on the machine disturb less.
    """
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    action()
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end or best == float("inf"):
        wait()
        start = clock()
        action()
        wait()
        best = min(best, clock() - start)
    return count / best


def resident_mb(word):
    """VmRSS or VmHWM (its peak) of this process in MB; nan where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(word)), float("nan"))


# The whole pipeline, each way in a process of its own, so that peaks do not mix.


def measure(way, threads, images, seconds):
    """Images a second, and the MB that the way needed above its input."""
    torch.set_num_threads(threads)
    action = passes(way, threads, images)
    before = resident_mb("VmRSS")
    return rate(action, len(images), seconds), resident_mb("VmHWM") - before


def passes(way, threads, images):
    """A call that augments all images once; torchvision on several cores through the workers of a DataLoader."""
    if way == "kit":
        return lambda: PIPELINE(images)
    if threads > 1:
        loader = loader_over(way, images, threads)
        return lambda: list(loader)
    transform, single = torchvision_pipeline(way), pil_images(images) if way == "PIL" else images.unbind()
    return lambda: torch.stack([transform(image) for image in single])


def loader_over(way, images, workers):
    transform, single = torchvision_pipeline(way), pil_images(images) if way == "PIL" else images.unbind()

    class Augmented(torch.utils.data.Dataset):
        def __len__(self):
            return len(single)

        def __getitem__(self, place):
            return transform(single[place])

    options = {"num_workers": workers, "persistent_workers": True, "multiprocessing_context": "fork"}
    return torch.utils.data.DataLoader(Augmented(), batch_size=128, **options)


def in_a_process(*arguments):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def print_pipeline(images, seconds):
    """The table of the whole pipeline; returns the kit's rate on one core."""
    cores, baseline = os.cpu_count(), None
    print(f"| whole pipeline | images/s, 1 core | times PIL | images/s, {cores} cores | peak memory, 1 core (MB) |")
    print("|---|---:|---:|---:|---:|")
    for name, way in (("torchvision PIL", "PIL"), ("torchvision v2 tensor", "v2"), ("kit", "kit")):
        part = images if way == "kit" else images[:512]
        single, memory = in_a_process(way, 1, part, seconds)
        every, _ = in_a_process(way, cores, part, seconds)
        baseline = baseline or single
        row = f"| {name} | {single:,.0f} | {single / baseline:.1f} | {every:,.0f} | {memory:.0f} |"
        print(row, flush=True)


def print_training_share(images, device, batch, seconds):
    """How the pipeline's time compares with a bf16 training step of the paper's model on `device`."""
    images = images.to(device)
    pipeline_rate = rate(lambda: PIPELINE(images), len(images), seconds, device)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        PIPELINE(images)
        print(f"peak GPU memory of a chunk: {(torch.cuda.max_memory_allocated() - before) / 2**20:,.0f} MB")
    network = model.build("paper").to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    inputs, labels = PIPELINE(images[:batch]), torch.zeros(batch, dtype=torch.long, device=device)

    def step():
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            loss = F.cross_entropy(network(inputs), labels)
        loss.backward()
        optimizer.step()

    training_rate = rate(step, batch, seconds, device)
    print(f"on {device}, chunks of {len(images):,}: {pipeline_rate:,.0f} images/s augmented; a bf16 training step of")
    print(f"the paper's model at {batch} images: {training_rate:,.0f} images/s; augmentation takes ", end="")
    print(f"{training_rate / pipeline_rate:.2%} of a step")


# Every operation on one core.


def kit_operation(name, magnitude):
    """A batched image operation on all images of a batch."""

    def action(images):
        operations = torch.full((len(images), 1), NAMES.index(name))
        return apply(images, Plan(operations, torch.full((len(images), 1), magnitude, dtype=torch.float64)))

    return action


def operations():
    """(name, kit on a batch, torchvision on a PIL image, torchvision v2 on a tensor)."""
    reflect = {"size": 32, "padding": 4, "padding_mode": "reflect"}
    reflected = transforms.RandomCrop(**reflect), v2.RandomCrop(**reflect)
    amounts = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.1}
    jitters = transforms.ColorJitter(**amounts), v2.ColorJitter(**amounts)
    yield "crop, zeros", crop.random_crop, transforms.RandomCrop(32, 4), v2.RandomCrop(32, 4)
    yield "crop, reflected", lambda x: crop.random_crop(x, 4, "reflect"), *reflected
    yield "flip", crop.random_flip, transforms.RandomHorizontalFlip(), v2.RandomHorizontalFlip()
    yield "AutoAugment", policies.autoaugment, transforms.AutoAugment(CIFAR10), v2.AutoAugment(CIFAR10)
    yield "RandAugment", policies.randaugment, transforms.RandAugment(), v2.RandAugment()
    yield "TrivialAugment", policies.trivialaugment, transforms.TrivialAugmentWide(), v2.TrivialAugmentWide()
    yield "colour jitter", lambda x: augment.color_jitter(x, **amounts), *jitters
    rotations = transforms.RandomRotation(15), v2.RandomRotation(15)
    yield "rotation", lambda x: augment.random_rotation(x, 15), *rotations
    policy = v2.AutoAugment(CIFAR10)
    for name, (magnitudes, _) in policy._AUGMENTATION_SPACE.items():
        levels = magnitudes(10, 32, 32)
        magnitude = 0.0 if levels is None else float(levels[6])
        yield (
            name,
            kit_operation(name, magnitude),
            lambda x, n=name, m=magnitude: autoaugment._apply_op(x, n, m, NEAREST, None),
            lambda x, n=name, m=magnitude: policy._apply_image_or_video_transform(x, n, m, NEAREST, policy._fill),
        )
    float_v2 = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(augment.MEAN, augment.STD)])
    float_pil = transforms.Compose([transforms.ToTensor(), transforms.Normalize(augment.MEAN, augment.STD)])
    yield "to float, normalise", augment.normalize, float_pil, float_v2


def on_floats(images):
    """The operations on normalised batches, which torchvision has for one share a batch or not at all."""
    floats, labels = augment.normalize(images), torch.zeros(len(images), dtype=torch.long)
    yield "Cutout", lambda: augment.cutout(floats)
    yield "Mixup", lambda: augment.mixup(floats, labels, 0.5)
    yield "CutMix", lambda: augment.cutmix(floats, labels, 1.0)


def print_operations(images, seconds):
    """The table of single operations."""
    torch.set_num_threads(1)
    few = images[:256]
    singles = pil_images(few), few.unbind()
    print(
        "| operation | kit, images/s | torchvision PIL | torchvision v2 tensor | times PIL |\n|---|---:|---:|---:|---:|"
    )
    for name, batched, *single in operations():
        ours = rate(lambda batched=batched: batched(images), len(images), seconds)
        theirs = [
            rate(lambda xs=xs, change=change: [change(x) for x in xs], len(few), seconds)
            for change, xs in zip(single, singles, strict=True)
        ]
        row = f"| {name} | {ours:,.0f} | {theirs[0]:,.0f} | {theirs[1]:,.0f} | {ours / theirs[0]:.0f} |"
        print(row, flush=True)
    for name, action in on_floats(images):
        print(f"| {name} | {rate(action, len(images), seconds):,.0f} | | | |", flush=True)


# What differs between torchvision's operations on PIL images and on tensors, which the kit equals.


def print_pil_differences(images):
    """For each operation, over all magnitudes and signs of the three policies: values that differ, and by how much."""
    spaces = (
        transforms.AutoAugment(CIFAR10)._augmentation_space(10, (32, 32)),
        transforms.RandAugment()._augmentation_space(31, (32, 32)),
        transforms.TrivialAugmentWide()._augmentation_space(31),
    )
    singles = pil_images(images)
    print("| operation | values that differ from PIL's | most at one magnitude | largest difference |")
    print("|---|---:|---:|---:|")
    for name in NAMES[:-1]:
        shares, largest = [], 0
        for magnitude in sorted(signed_magnitudes(name, spaces)):
            pil = [one_by_one(image, name, magnitude) for image in singles]
            pil = torch.stack([functional.pil_to_tensor(image) for image in pil])
            difference = (kit_operation(name, magnitude)(images).int() - pil.int()).abs()
            shares.append((difference > 0).float().mean().item())
            largest = max(largest, difference.max().item())
        print(f"| {name} | {sum(shares) / len(shares):.2%} | {max(shares):.2%} | {largest} |", flush=True)


def one_by_one(image, name, magnitude):
    if name == "Hue":
        return functional.adjust_hue(image, magnitude)
    return autoaugment._apply_op(image, name, magnitude, NEAREST, None)


def signed_magnitudes(name, spaces):
    """Every value that an operation's magnitude takes in any of the spaces; for hue, jitter's twentieths."""
    found = {step / 20 for step in range(-10, 11)} if name == "Hue" else set()
    for magnitudes, signed in (space[name] for space in spaces if name in space):
        for magnitude in magnitudes.flatten().tolist():
            found |= {float(magnitude), float(-magnitude)} if signed else {float(magnitude)}
    return found


def machine():
    """The processor, its cores and the GPU, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {gpu}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="auto", help="auto, digits or a folder (default auto)")
    parser.add_argument("--images", type=int, default=2048, help="images of a chunk (default 2048)")
    parser.add_argument("--batch", type=int, default=512, help="images of the training step (default 512)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of every measurement (default 1)")
    parser.add_argument("--pil", action="store_true", help="also compare torchvision's PIL and tensor operations")
    parser.add_argument("--only-step", action="store_true", help="only the share of a training step")
    arguments = parser.parse_args()
    images = load_images(arguments.data, arguments.images)
    print(f"{machine()}; torch {torch.__version__}, torchvision {torchvision.__version__}; {len(images):,} images\n")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not arguments.only_step:
        print_pipeline(images, arguments.seconds)
        print()
    print_training_share(images, device, arguments.batch, arguments.seconds)
    if not arguments.only_step:
        print()
        print_operations(images, arguments.seconds)
    if arguments.pil:
        print()
        print_pil_differences(images[:200])


if __name__ == "__main__":
    main()
