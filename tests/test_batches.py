"""What an epoch is made of: every image once, the same on a resume, shared out among ranks, mixed in halves."""

import numpy as np
import pytest
import torch

from kit.errors import KitError
from kit.recipe import Recipe
from kit.train import batches as module
from kit.train.batches import Batches
from kit.train.distributed import World
from kit.train.randomness import stream

PLAIN = Recipe(batch_size=16, augment="none", cutout=0, seed=3)
DRAWN = PLAIN.replace(augment="crop+flip+autoaugment", cutout=8)


@pytest.fixture
def numbered():
    """100 images, each of one gray value, its number; labels in their order."""
    images = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32).contiguous()
    return images, torch.arange(100) % 10


def make(data, recipe=PLAIN, rank=0, world=1):
    return Batches(*data, recipe, 10, world=World(rank, world))


def numbers(images):
    """Which of the `numbered` images these normalised ones are."""
    return (images[:, 0, 0, 0] * 0.2023 * 255 + 0.4914 * 255).round().long()


def whole_epoch(batches, epoch, start=0):
    return [(x.clone(), y.clone()) for x, y, _rows in batches.epoch(epoch, start)]


def same(some, others):
    pairs = list(zip(some, others, strict=True))
    return bool(pairs) and all(torch.equal(x, v) and torch.equal(y, w) for (x, y), (v, w) in pairs)


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_IMAGES", 32)  # two batches of 16 at a time


def test_an_epoch_has_every_image_at_most_once_with_its_label(numbered, small_chunks):
    seen = whole_epoch(make(numbered), 0)
    assert [len(x) for x, _ in seen] == [16] * 6  # 96 of 100: the rest waits for another shuffle
    shown, labels = numbers(torch.cat([x for x, _ in seen])), torch.cat([y for _, y in seen])
    assert len(shown.unique()) == 96
    assert torch.equal(labels, shown % 10)
    assert not torch.equal(shown, shown.sort().values)
    assert seen[0][0].is_contiguous(memory_format=torch.channels_last)


def test_over_epochs_every_image_has_its_turn(numbered):
    batches = make(numbered)
    orders = [numbers(torch.cat([x for x, *_ in batches.epoch(e)])) for e in range(5)]
    assert len(torch.cat(orders).unique()) == 100
    assert not torch.equal(orders[0], orders[1])


def test_a_batch_of_all_images_is_an_epoch(numbered):
    ((images, *_),) = make(numbered, PLAIN.replace(batch_size=100)).epoch(0)
    assert torch.equal(numbers(images).sort().values, torch.arange(100))


@pytest.mark.parametrize("mixing", [{}, {"mixup_alpha": 0.4, "cutmix_alpha": 1.0}], ids=["plain", "mixed"])
@pytest.mark.parametrize("start", [1, 2, 5])
def test_going_on_inside_an_epoch_gives_the_batches_that_were_left(numbered, small_chunks, start, mixing):
    recipe = DRAWN.replace(**mixing)
    whole = whole_epoch(make(numbered, recipe), 4)
    left = whole_epoch(make(numbered, recipe), 4, start)
    assert same(left, whole[start:])


def test_after_the_last_step_nothing_is_left(numbered, small_chunks):
    assert whole_epoch(make(numbered), 0, start=6) == []


def test_epochs_seeds_and_ranks_draw_their_own(numbered):
    first = whole_epoch(make(numbered, DRAWN), 0)
    assert same(first, whole_epoch(make(numbered, DRAWN), 0))
    assert not same(first, whole_epoch(make(numbered, DRAWN), 1))
    assert not same(first, whole_epoch(make(numbered, DRAWN.replace(seed=4)), 0))


def test_two_ranks_share_out_every_batch_of_one_process(numbered, small_chunks):
    alone = [numbers(x) for x, *_ in make(numbered).epoch(2)]
    ranks = [[numbers(x) for x, *_ in make(numbered, rank=r, world=2).epoch(2)] for r in (0, 1)]
    assert [len(x) for x in ranks[0]] == [8] * 6
    for batch, *shares in zip(alone, *ranks, strict=True):
        assert torch.equal(batch, torch.cat(shares))


def test_ranks_augment_differently():
    images = torch.randint(256, (1, 3, 32, 32), dtype=torch.uint8).expand(32, -1, -1, -1).contiguous()
    shares = [make((images, torch.zeros(32).long()), DRAWN, rank=r, world=2) for r in (0, 1)]
    (a, *_), (b, *_) = (next(iter(share.epoch(0))) for share in shares)
    assert not torch.equal(a, b)


def test_both_ways_of_mixing_get_half_of_the_images(numbered):
    """Mixup leaves no pixel of a number's own value alone; CutMix leaves two at most in a picture."""
    recipe = PLAIN.replace(batch_size=100, mixup_alpha=1.0, cutmix_alpha=1.0)
    ((images, targets, _rows),) = make(numbered, recipe).epoch(0)
    assert targets.dtype == torch.float32 and targets.shape == (100, 10)
    torch.testing.assert_close(targets.sum(1), torch.ones(100))
    values = [len(image[0].unique()) for image in images]
    assert set(values[:50]) == {1}  # blended wholes
    assert 2 in values[50:] and set(values[50:]) <= {1, 2}  # pasted rectangles
    first = (images[:50, 0, 0, 0] * 0.2023 * 255 + 0.4914 * 255) % 1
    assert ((first > 0.01) & (first < 0.99)).sum() > 25  # between two whole numbers


def test_one_way_of_mixing_alone_mixes_all(numbered):
    ((images, targets, _rows),) = make(numbered, PLAIN.replace(batch_size=100, cutmix_alpha=1.0)).epoch(0)
    assert sum(len(image[0].unique()) == 2 for image in images) > 60
    assert ((targets > 0).sum(1) <= 2).all()


def test_streams_of_different_purposes_and_places_differ():
    places = [("order", 1029, 0), ("order", 1029, 1), ("augmentation", 1029, 0, 0, 0), ("augmentation", 1029, 0, 32, 0),
              ("augmentation", 1029, 0, 0, 1), ("dropout", 1029, 0, 0), ("dropout", 0, 0, 0)]  # fmt: skip
    drawn = [torch.rand(4, generator=stream(*place)) for place in places]
    assert len({tuple(d.tolist()) for d in drawn}) == len(places)
    assert torch.equal(torch.rand(4, generator=stream(*places[0])), drawn[0])


def test_neighbouring_streams_are_uncorrelated():
    drawn = np.array([torch.rand(500, generator=stream("dropout", 1029, step, 0)).numpy() for step in range(20)])
    off_diagonal = np.corrcoef(drawn)[~np.eye(20, dtype=bool)]
    assert abs(off_diagonal).max() < 0.25  # 5.6 standard errors


def test_images_stay_on_the_host_where_the_device_has_too_little_memory(numbered, monkeypatch):
    images = numbered[0]
    device = torch.device("cuda")
    moved = []
    monkeypatch.setattr(torch.Tensor, "to", lambda self, where: moved.append(where) or self)
    for free, expected in ((images.nbytes * 4 - 1, []), (images.nbytes * 4, [device])):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device, free=free: (free, 10**12))
        assert module._place(images, device) is images and moved == expected


def test_batches_from_the_host_are_those_from_the_device(numbered, small_chunks, monkeypatch):
    """The device is played by the CPU: images that count as elsewhere take the path of a small GPU."""
    expected = whole_epoch(make(numbered, DRAWN), 1)
    batches = make(numbered, DRAWN)
    sent = []
    monkeypatch.setattr(module, "send", lambda values, _device: sent.append(len(values)) or values)
    batches.images = _Elsewhere(batches.images)
    assert same(whole_epoch(batches, 1), expected)
    assert sent[1::2] == [32, 32, 32]  # after each chunk's indices its images


class _Elsewhere:
    device = torch.device("meta")

    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def index_select(self, dim, rows):
        return self.images.index_select(dim, rows)


def test_the_next_chunk_is_fetched_before_the_present_one_is_used():
    fetched = []
    ahead = module._one_ahead((fetched.append(n) or n,) for n in range(3))
    assert next(ahead) == (0,) and fetched == [0, 1]
    assert list(ahead) == [(1,), (2,)]


@pytest.mark.parametrize("recipe, world, sentence", [
    (PLAIN.replace(batch_size=101), 1, "batch_size has to be at most the 100 training images of an epoch, not 101"),
    (PLAIN.replace(batch_size=15), 2, "batch_size 15 cannot be shared by 2 processes: use a multiple"),
])  # fmt: skip
def test_batches_that_cannot_be_made_are_refused(numbered, recipe, world, sentence):
    with pytest.raises(KitError, match=sentence):
        make(numbered, recipe, world=world)
