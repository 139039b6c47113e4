"""Check whether a trained network is more confident in the test images if they are read in another way.

Pixels alone do not show that images are mirrored, upside down or blue-green-red. But a network that has learnt what its
classes look like is less confident in such images, and its confidence needs no labels.

A limit: a network that was trained on mirrored images too is equally confident in both, so a mirrored file stays
unnoticed. Such a network also labels both equally well: a run of `hour`, stopped early after ten epochs, had 79.07 % of
1,500 test images of CIFAR-10 right as they are and 79.13 % mirrored (upside down: 50.87 %).
"""

import warnings
from collections.abc import Callable, Sequence

import pandas as pd
from torch import Tensor, nn

from kit.data import spread
from kit.predict import average_models

READINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda images: images,
    "red and blue exchanged": lambda images: images.flip(1),
    "mirrored": lambda images: images.flip(3),
    "upside down": lambda images: images.flip(2),
    "turned by 180 degrees": lambda images: images.flip(2, 3),
    "rows and columns exchanged": lambda images: images.transpose(2, 3),
}
SURER = 0.02  # smallest difference of mean confidence that is worth a warning
STANDARD_ERRORS = 4  # and its size in standard errors of the mean paired difference
GREY = 0.9  # a set is grey if more than this share of its images has no colour
_SAMPLE = 1000  # images of each set, evenly spread


def confidence_of_readings(
    networks: Sequence[nn.Module], images: Tensor, validation_images: Tensor, **options
) -> pd.DataFrame:
    """Compare the confidence in the test images under several readings, and warn if another one is clearly better.

    Up to 1,000 images of each set are predicted, without test-time views, since a mirrored view would hide a mirrored
    set. A second warning says if the test images have no colour and the validation images do.

    Args:
        networks: trained; their probabilities are averaged.
        images: uint8 (N, 3, 32, 32), the test images.
        validation_images: uint8 (M, 3, 32, 32), images that are read correctly.
        options: for kit.predict.predict, such as `amp`.

    Returns:
        One row per reading, after a row `validation`. The column `confidence` is the mean of the largest probability,
        and `surer by` is its difference from that of the test images as they are; both 0 to 1.

    Warns:
        UserWarning: another reading gives more confidence, by more than `SURER` and four standard errors of the mean
            difference; or the test images are grey.
    """
    sample, known = _sample(images), _sample(validation_images)
    sureness = {
        name: _sureness(networks, read(sample).contiguous(), options) for name, read in READINGS.items()
    }  # float64 (n,) each
    differences = {name: values - sureness["as they are"] for name, values in sureness.items()}
    of_known = {"validation": _sureness(networks, known, options).mean().item()}
    confidence = pd.Series(of_known | {name: values.mean().item() for name, values in sureness.items()})
    table = pd.DataFrame({"confidence": confidence, "surer by": confidence - confidence["as they are"]})
    best = max(differences, key=lambda name: differences[name].mean().item())
    if _clearly_positive(differences[best]):
        warnings.warn(
            f"the network is clearly surer of the test images when they are read {best} (mean confidence "
            f"{table.confidence[best]:.2f}, as they are {table.confidence['as they are']:.2f}, validation "
            f"{table.confidence['validation']:.2f}): check how the file was made before you submit",
            stacklevel=2,
        )
    if _grey_share(sample) > GREY > _grey_share(known):
        warnings.warn("the test images have no colour, but the validation images have: check the file", stacklevel=2)
    return table


def _sample(images: Tensor) -> Tensor:
    return spread(images, _SAMPLE)


def _sureness(networks: Sequence[nn.Module], images: Tensor, options: dict) -> Tensor:
    """The largest probability of each image, float64 (N,)."""
    return average_models(networks, images, tta="none", **options).logits.double().softmax(1).amax(1).cpu()


def _clearly_positive(differences: Tensor) -> bool:
    mean, count = differences.mean().item(), len(differences)
    error = (differences.std() / count**0.5).item() if count > 1 else float("inf")
    return mean > SURER and mean > STANDARD_ERRORS * error


def _grey_share(images: Tensor) -> float:
    """Share of the images whose three channels are equal."""
    equal = (images[:, :1] == images).flatten(1).all(1)
    return equal.double().mean().item() if len(images) else 0.0
