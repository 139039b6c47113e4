"""Operations on the values of uint8 batches, every image with its own magnitude.

Each takes uint8 (N, 3, H, W) and float64 magnitudes (N,) on the host, and gives the same as the function of
`torchvision.transforms.functional` on uint8 CPU tensors, one image at a time.
"""

import torch
from torch import Tensor

from kit.augment.todevice import send

# Blends with a degenerate image: factor * image + (1 - factor) * degenerate, with factor = 1 + magnitude.


def brightness(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Blend with black; the factor is 1 + magnitude."""
    return _to_uint8(images.float().mul_(_column(1 + magnitudes, images)))


def saturation(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Blend with the grey image; the factor is 1 + magnitude."""
    values = images.float()
    return _blend(values, _gray(values), magnitudes)


def contrast(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Blend with the mean of the grey image; the factor is 1 + magnitude."""
    values = images.float()
    return _blend(values, _gray(values).mean((2, 3), keepdim=True), magnitudes)


def sharpness(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Blend with the smoothed image, whose border pixels are not smoothed; the factor is 1 + magnitude."""
    return images if min(images.shape[2:]) <= 2 else _blend(images.float(), _smooth(images), magnitudes)


def hue(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Turn the hue by the magnitude, -0.5 to 0.5 of the colour circle."""
    h, s, v = _rgb_to_hsv(images.float().div_(255))
    h = (h + _column(magnitudes, images)[:, 0]) % 1.0
    return _to_uint8(_hsv_to_rgb(h, s, v).mul_(256 - 1e-3))


def _column(values: Tensor, images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """One value per image, as (N, 1, 1, 1) on the images' device."""
    return send(values.to(dtype), images.device)[:, None, None, None]


def _to_uint8(values: Tensor) -> Tensor:
    """Clamp to 0..255 in place and truncate to integers; through int16, since torch vectorises that on a CPU."""
    return values.clamp_(0, 255).to(torch.int16).to(torch.uint8)


def _blend(values: Tensor, degenerate: Tensor, magnitudes: Tensor) -> Tensor:
    """Blend float32 values (N, 3, H, W), overwriting both."""
    factor = 1 + magnitudes  # float64 until both weights are computed, like Python floats
    degenerate.mul_(_column(1 - factor, values))
    return _to_uint8(values.mul_(_column(factor, values)).add_(degenerate))


def _gray(values: Tensor) -> Tensor:
    """float32 (N, 1, H, W) of integers: ITU-R 601 luma, cut to integers."""
    red, green, blue = values.split(1, dim=1)
    return (0.2989 * red).add_(0.587 * green).add_(0.114 * blue).floor_()


def _smooth(images: Tensor) -> Tensor:
    """float32 (N, 3, H, W) of integers: the rounded mean under [1 1 1; 1 5 1; 1 1 1] inside the border.

    The sums run over the flattened batch, in which a neighbour is a fixed distance away; sums across an edge fall on
    the border, which is not used. Multiples of 1/13 are never ties, so the order of the sums does not matter.
    """
    width = images.shape[3]
    flat = images.to(torch.int16).flatten()
    triple = (flat[:-2] + flat[1:-1]).add_(flat[2:])
    total = (triple[: -2 * width] + triple[width:-width]).add_(triple[2 * width :])
    total.add_(flat[width + 1 : -width - 1], alpha=4)
    smooth = torch.zeros(images.shape, device=images.device)
    smooth.view(-1)[width + 1 : -width - 1] = total
    smooth.div_(13).round_()
    for border in ((..., 0), (..., -1), (..., 0, slice(None)), (..., -1, slice(None))):
        smooth[border] = images[border].float()
    return smooth


def _rgb_to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """float32 (N, 3, H, W) in [0, 1] to hue, saturation and value, each (N, H, W) in [0, 1]."""
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    grey = value == least
    chroma = value - least
    saturation = chroma / torch.where(grey, 1.0, value)
    r, g, b = ((value - channel) / torch.where(grey, 1.0, chroma) for channel in (red, green, blue))
    sector = torch.where(value == red, b - g, torch.where(value == green, 2.0 + r - b, 4.0 + g - r))
    return torch.fmod(sector / 6.0 + 1.0, 1.0), saturation, value


def _hsv_to_rgb(h: Tensor, s: Tensor, v: Tensor) -> Tensor:
    """The inverse of `_rgb_to_hsv`, as (N, 3, H, W)."""
    sector = torch.floor(h * 6.0)
    f = h * 6.0 - sector
    p = (v * (1.0 - s)).clamp_(0.0, 1.0)
    q = (v * (1.0 - s * f)).clamp_(0.0, 1.0)
    t = (v * (1.0 - s * (1.0 - f))).clamp_(0.0, 1.0)
    sector = (sector.long() % 6)[None]
    channels = (
        torch.stack(six).gather(0, sector) for six in ((v, q, p, p, t, v), (t, v, v, q, p, p), (p, p, t, v, v, q))
    )
    return torch.cat(list(channels)).transpose(0, 1).contiguous()


# Tone curves: each level is mapped to another one.


def posterize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Keep the highest bits of each value; the magnitude is their number, 0 to 8."""
    dropped = 8 - magnitudes.long()
    return images & _column((256 - (1 << dropped)) & 255, images, torch.uint8)


def solarize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Invert the values from the magnitude on, 0 to 255."""
    last_kept = _column(magnitudes.ceil() - 1, images, torch.int16)
    values = images.to(torch.int16)
    mask = (last_kept - values) >> 15  # all bits are 1 if the value is above; in 8 bits x ^ 255 is 255 - x
    return (values ^ mask).to(torch.uint8)


def autocontrast(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Stretch each channel to 0..255; a channel with a single value stays. The magnitude is not used."""
    low = images.amin((2, 3), keepdim=True).float()
    high = images.amax((2, 3), keepdim=True).float()
    flat = low == high
    scale = torch.where(flat, 1.0, 255 / (high - low))
    return _to_uint8(images.float().sub_(low.masked_fill_(flat, 0.0)).mul_(scale))


def equalize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Even out the histogram of each channel. The magnitude is not used."""
    channels = images.flatten(2).flatten(0, 1)
    levels = channels.long()
    counts = torch.zeros(len(channels), 256, dtype=torch.int32, device=images.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels, dtype=torch.int32))
    curves = _equalizing_curves(counts, channels.amax(1, keepdim=True).long())
    return curves.gather(1, levels).view(images.shape)


def _equalizing_curves(counts: Tensor, highest: Tensor) -> Tensor:
    """Curves, uint8 (R, 256), from histograms, int32 (R, 256), and the highest value of each, (R, 1).

    Quotients are computed in float32, which gives the right integers for images of up to 2^23 pixels.
    """
    through = counts.cumsum(1, dtype=torch.int32)
    step = ((through[:, -1:] - counts.gather(1, highest)) / 255).floor_()
    curves = through.sub_(counts).float().add_((step / 2).floor_()).div_(step.clamp(min=1))
    curves[:, 0] = 0
    same = torch.arange(256.0, device=counts.device)
    return _to_uint8(torch.where(step == 0, same, curves))


def invert(images: Tensor, magnitudes: Tensor) -> Tensor:
    """255 minus each value. The magnitude is not used."""
    return ~images
