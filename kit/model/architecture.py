"""The design variables of a network. Reading and checking them needs no torch.

They are those of the paper (of each layer the channels C_i, the blocks, the filter size F_i and the skip kernel size
K_i; and the pool size P), and the form of the layers: a row of FORMS.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kit.errors import KitError

IMAGE_SIDE = 32  # pixels


@dataclass(frozen=True)
class Form:
    """A way to build the layers, chosen by `+word` after an architecture.

    Attributes:
        meaning: a description for users.
        module: the module with its `stem`, `layer` and `head`; kit.model.resnet describes them.
        side: height and width of the stem's output in pixels.
        stride: stride of the first layer; every further layer has stride 2.
        rounds_up: whether a layer of stride 2 turns 15 pixels into 8; otherwise into 7.
        fixed: whether filters have size 3, strides cannot be changed, and there is no dropout.
        scale_free: whether no norm has a learnt scale; the optimizer muon needs that.
    """

    meaning: str
    module: str
    side: int = IMAGE_SIDE
    stride: int = 1
    rounds_up: bool = True
    fixed: bool = False
    scale_free: bool = False


FORMS = {
    "basic": Form("two convolutions beside a skip connection per block (He et al. 2015)", "kit.model.basic"),
    "se": Form("basic blocks with squeeze-and-excitation (Hu et al. 2018)", "kit.model.squeeze"),
    "pooled": Form(
        "for short trainings and the optimizer muon: whitened patches, max pooling, norms without scale (Jordan 2024)",
        "kit.model.pooled", side=IMAGE_SIDE - 1, stride=2, rounds_up=False, fixed=True, scale_free=True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Architecture:
    """All design variables of one network. `Architecture.of` fills in the usual values.

    Attributes:
        channels: C_i, the channels of each layer.
        blocks: blocks in each layer.
        filter: F_i, the odd size of the square filters of each layer.
        skip_kernel: K_i, the odd size of each layer's skip convolution (used if the shape changes).
        strides: stride of the first block of each layer.
        pool: P, the size of the pool after the last layer, in pixels of its map.
        dropout: probability between the two convolutions of a block, 0 up to 1.
        form: a name of FORMS.

    Raises:
        KitError: the design variables contradict each other, or leave no image to pool.
    """

    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    filter: tuple[int, ...]
    skip_kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pool: int
    dropout: float = 0.0
    form: str = "basic"

    def __post_init__(self) -> None:
        _check_layers(self)
        if self.form not in FORMS:
            raise KitError(f"form has to be one of {', '.join(FORMS)}, not {self.form!r}")
        if not 0 <= self.dropout < 1:
            raise KitError(f"dropout has to be from 0 up to 1, not {self.dropout}")
        _check_form(self)
        side = last_side(FORMS[self.form], self.strides)
        if not 1 <= self.pool <= side:
            raise KitError(f"pool has to be from 1 to {side}, the size of the last layer's map, not {self.pool}")

    @classmethod
    def of(
        cls,
        channels: Sequence[int],
        blocks: Sequence[int],
        form: str = "basic",
        *,
        filter: int | Sequence[int] = 3,
        skip_kernel: int | Sequence[int] = 1,
        strides: Sequence[int] | None = None,
        pool: int | None = None,
        dropout: float = 0.0,
    ) -> "Architecture":
        """The architecture, with the usual values for all that is left out.

        Args:
            channels, blocks, dropout, form: as the attributes.
            filter, skip_kernel: one size for all layers, or one per layer.
            strides: None is 1 for the first layer (2 in a pooled network) and 2 for every further one.
            pool: None pools the whole last map.

        Raises:
            KitError: as for the class.
        """
        layers, rules = len(channels), FORMS.get(form, FORMS["basic"])
        strides = (rules.stride, *(2,) * (layers - 1)) if strides is None else tuple(strides)
        if pool is None:
            pool = max(last_side(rules, strides), 1)
        sizes = _per_layer(filter, layers), _per_layer(skip_kernel, layers)
        return cls(tuple(channels), tuple(blocks), *sizes, strides, pool, dropout, form)

    def changed(
        self,
        filter: int | Sequence[int] | None = None,
        skip_kernel: int | Sequence[int] | None = None,
        pool: int | None = None,
        dropout: float | None = None,
    ) -> "Architecture":
        """A copy with other design variables; None keeps this architecture's own.

        Raises:
            KitError: as for the class.
        """
        layers = len(self.channels)
        return replace(
            self,
            filter=self.filter if filter is None else _per_layer(filter, layers),
            skip_kernel=self.skip_kernel if skip_kernel is None else _per_layer(skip_kernel, layers),
            pool=self.pool if pool is None else pool,
            dropout=self.dropout if dropout is None else dropout,
        )

    @property
    def pools_all(self) -> bool:
        """Whether the pool covers the whole last map, so that the network also takes images of other sizes."""
        return self.pool == last_side(FORMS[self.form], self.strides)

    def takes(self, image_side: int) -> bool:
        """Whether images with that side, in pixels, are large enough for the network."""
        return last_side(FORMS[self.form], self.strides, image_side) >= 1

    def __str__(self) -> str:
        """Channels, blocks and form, to be read by `parse`: `64,128,256/4,4,3+se`."""
        text = ",".join(map(str, self.channels)) + "/" + ",".join(map(str, self.blocks))
        return text if self.form == "basic" else f"{text}+{self.form}"


def last_side(form: Form, strides: Sequence[int], image_side: int = IMAGE_SIDE) -> int:
    """Height and width in pixels of the last layer's map; 0 or less if nothing is left of an image of `image_side`."""
    side = form.side - IMAGE_SIDE + image_side
    for stride in strides:
        stride = max(stride, 1)  # smaller ones are refused elsewhere
        side = -(-side // stride) if form.rounds_up else side // stride
    return side


def parse(text: str) -> Architecture:
    """Read an architecture: a name of ARCHITECTURES, or channels and blocks spelt out as `64,128,256/4,5,3`.

    `+` and a name of FORMS after either chooses the form, such as `paper+se` or `48,192,256/1,1,2+pooled`.

    Raises:
        KitError: the text is neither, or the network cannot be built; the message lists what is allowed.
    """
    base, plus, form = text.strip().partition("+")
    named = ARCHITECTURES.get(base)
    if named is not None and plus and named.form not in ("basic", form):
        raise KitError(f"arch {text!r} asks for two forms: {base} is {named.form} already, so leave +{form} out")
    if named is not None and not plus:
        return named
    try:
        channels, blocks = (named.channels, named.blocks) if named is not None else map(_numbers, base.split("/"))
    except ValueError:
        channels, blocks = (), ()
    if not channels or (plus and form not in FORMS):
        forms = ", ".join(f"+{name}" for name in FORMS if name != "basic")
        raise KitError(
            f"arch {text!r} is not known: use one of {', '.join(ARCHITECTURES)}, or channels and blocks such as "
            f"64,128,256/4,5,3, and {forms} after it if wanted"
        )
    return Architecture.of(channels, blocks, form or "basic")


def sizes(name: str, text: str) -> tuple[int, ...] | int | None:
    """Read sizes such as `3` or `3,3,5`, one for all layers or one per layer; None for an empty text.

    Raises:
        KitError: the text has another form.
    """
    try:
        numbers = _numbers(text) if text else ()
    except ValueError:
        raise KitError(f"{name} has to be an odd number, or one per layer such as 3,3,5, not {text!r}") from None
    return numbers[0] if len(numbers) == 1 else numbers or None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


def _per_layer(value: int | Sequence[int], layers: int) -> tuple[int, ...]:
    return (value,) * layers if isinstance(value, int) else tuple(value)


def _check_layers(a: Architecture) -> None:
    layers = len(a.channels)
    if min(a.channels, default=0) < 1:
        raise KitError(f"channels have to be whole numbers from 1, not {a.channels}")
    for name in ("blocks", "filter", "skip_kernel", "strides"):
        values = getattr(a, name)
        if len(values) != layers or min(values) < 1:
            raise KitError(f"{name} has to be {layers} whole numbers from 1, one per layer, not {values}")
    for name in ("filter", "skip_kernel"):
        values = getattr(a, name)
        if any(value % 2 == 0 for value in values):
            raise KitError(f"{name} has to be odd, so that the image keeps its size, not {values}")


def _check_form(a: Architecture) -> None:
    """Refuse settings that the form does not allow, and too many layers for the image."""
    form, usual = FORMS[a.form], (FORMS[a.form].stride, *(2,) * (len(a.channels) - 1))
    if form.fixed and (a.strides != usual or a.dropout or {*a.filter} != {3}):
        raise KitError(f"a {a.form} network takes filters of 3, no strides and no dropout")
    if last_side(form, a.strides) < 1:
        most = next(n for n in range(1, 9) if last_side(form, (2,) * (n + 1)) < 1)
        raise KitError(
            f"a {a.form} network has at most {most} layers, each of which halves the image, not {len(a.channels)}"
        )


ARCHITECTURES: dict[str, Architecture] = {
    # The rows of the paper's Table 1. Its third row prints blocks 4,3,2,1 beside the parameters of 4,3,2,2.
    "paper": Architecture.of((64, 128, 256), (4, 5, 3)),  # 4,992,586 parameters
    "table1-1111": Architecture.of((64, 128, 256, 512), (1, 1, 1, 1)),  # 4,903,242
    "table1-2222": Architecture.of((64, 128, 230, 270), (2, 2, 2, 2)),  # 4,995,102
    "table1-4322": Architecture.of((64, 128, 192, 230), (4, 3, 2, 2)),  # 4,236,302
    "table1-4321": Architecture.of((64, 128, 192, 230), (4, 3, 2, 1)),  # 3,283,182, as printed
    "se": Architecture.of((64, 128, 256), (4, 4, 3), "se"),  # the best team's shape
    # For CPUs.
    "fast": Architecture.of((64, 256, 256), (1, 1, 1), "pooled"),
    "small": Architecture.of((32, 64, 128), (1, 1, 1)),
    "tiny": Architecture.of((16, 32, 64), (1, 1, 1)),
}
