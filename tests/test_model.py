"""The paper's networks: exact sizes, the block's equation, and what cannot be built."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kit.errors import KitError
from kit.model.architecture import ARCHITECTURES, FORMS, Architecture, parse
from kit.model.basic import BasicBlock
from kit.model.parameterbudget import PARAMETER_BUDGET, check_budget, count_parameters, draft
from kit.model.resnet import build
from kit.model.summary import flops, summarize


@pytest.mark.parametrize(
    ("arch", "parameters"),
    [
        ("64,128,256,512/1,1,1,1", 4_903_242),
        ("64,128,230,270/2,2,2,2", 4_995_102),
        ("64,128,192,230/4,3,2,2", 4_236_302),
        ("64,128,192,230/4,3,2,1", 3_283_182),
        ("64,128,256/4,5,3", 4_992_586),
        ("64,128,256/4,4,3", 4_697_162),  # the 2024 teams' network, as they counted it
        ("64,128,256/4,4,3+se", 4_733_610),  # the best team's, as it counted it
    ],
)
def test_parameters_are_those_that_the_teams_report(arch, parameters):
    assert count_parameters(build(arch)) == parameters


def test_every_architecture_is_within_the_budget_and_answers():
    for name in ARCHITECTURES:
        network = build(name).eval()
        assert check_budget(network) <= 5_000_000
        with torch.no_grad():
            assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10), name


def test_a_block_is_relu_of_skip_plus_residual():
    block = BasicBlock(8, 12, stride=2, filter=5, skip_kernel=3).double()
    x = torch.randn(4, 8, 16, 16, dtype=torch.float64)
    eps = 1e-5

    def norm(y, bn):
        mean, var = y.mean((0, 2, 3), keepdim=True), y.var((0, 2, 3), unbiased=False, keepdim=True)
        return (y - mean) / (var + eps).sqrt() * bn.weight[:, None, None] + bn.bias[:, None, None]

    inner = norm(F.conv2d(x, block.conv1.weight, stride=2, padding=2), block.bn1).relu()
    residual = norm(F.conv2d(inner, block.conv2.weight, padding=2), block.bn2)
    skip = norm(F.conv2d(x, block.skip[0].weight, stride=2, padding=1), block.skip[1])
    torch.testing.assert_close(block(x), (residual + skip).relu())


def test_the_skip_is_the_identity_where_shapes_agree():
    block = BasicBlock(8, 8)
    nn.init.zeros_(block.bn2.weight)  # the residual is then zero
    x = torch.randn(2, 8, 4, 4)
    torch.testing.assert_close(block(x), x.relu())


def test_dropout_sits_between_the_two_convolutions():
    block = BasicBlock(4, 4, dropout=0.5)
    seen = {}
    block.dropout.register_forward_hook(lambda _m, inputs, _out: seen.update(dropout=inputs[0].clone()))
    block.conv2.register_forward_hook(lambda _m, inputs, _out: seen.update(conv2=inputs[0].clone()))
    block(torch.randn(8, 4, 8, 8))
    kept = seen["conv2"] != 0
    torch.testing.assert_close(seen["conv2"][kept], 2 * seen["dropout"][kept])
    assert 0.3 < (seen["conv2"] == 0)[seen["dropout"] > 0].float().mean() < 0.7


def test_design_variables_reach_the_layers():
    network = build("8,16,32/1,2,1", filter=(3, 5, 7), skip_kernel=3, pool=4, dropout=0.1)
    assert [layer[0].conv1.kernel_size[0] for layer in network.layers] == [3, 5, 7]
    assert network.layers[1][0].skip[0].kernel_size == (3, 3)
    assert network.classifier.in_features == 32 * 2 * 2  # an 8x8 map pooled by 4
    assert isinstance(network.layers[0][0].dropout, nn.Dropout)


UNKNOWN = ["papr", "64,128", "64,128/1", "a,b/1,1", "64,x/1,1", "paper+xx", "0,8/1,1", "8,8/0,1", ""]


@pytest.mark.parametrize("arch", UNKNOWN)
def test_an_unknown_architecture_says_what_is_allowed(arch):
    with pytest.raises(ValueError, match=r"arch|blocks|channels"):
        build(arch)


@pytest.mark.parametrize("given", [{"filter": 4}, {"skip_kernel": 2}, {"pool": 9}, {"dropout": 1.0}, {"filter": (3,)}])
def test_impossible_design_variables_are_refused(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        build("8,16,32/1,1,1", **given)


def test_the_budget_counts_trainable_parameters_and_names_the_limit():
    network = build("64,128,256/4,6,3")  # the paper's, and a block of 295,424
    with pytest.raises(ValueError, match=r"5,288,010 trainable parameters and the competition allows 5,000,000"):
        check_budget(network)
    for parameter in network.layers[2].parameters():
        parameter.requires_grad = False
    assert check_budget(network) < 5_000_000


def test_the_summary_adds_up_and_leaves_the_network_alone():
    network = build("paper").train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    rows = summarize(network)
    assert sum(row.parameters for row in rows) == count_parameters(network)
    assert rows[0].shape == (64, 32, 32)
    assert rows[-1].shape == (10,)
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_flops_agree_with_torch_s_counter():
    from torch.utils.flop_counter import FlopCounterMode

    network = build("table1-4321").eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, 32, 32))
    assert flops(network) == counter.get_total_flops()


def test_names_are_parsed_once_for_notebooks_and_library():
    assert parse(" paper ") == ARCHITECTURES["paper"]
    assert parse("64,128,256/4,5,3") == ARCHITECTURES["paper"]
    assert PARAMETER_BUDGET == 5_000_000


@pytest.mark.parametrize("arch", ["fast+se", "8,16/1,1+pooled+se", "8,16/1,1+", "fast+"])
def test_one_network_has_one_form(arch):
    with pytest.raises(KitError, match=r"two forms|is not known"):
        parse(arch)


def test_an_architecture_has_one_normal_form():
    short = Architecture.of([8, 16], [1, 2], filter=5, pool=4)
    full = Architecture((8, 16), (1, 2), (5, 5), (1, 1), (1, 2), 4)
    assert short == full and hash(short) == hash(full)
    assert Architecture.of((8, 16), (1, 2)).changed(filter=(5, 5), pool=4) == full
    assert Architecture.of((8, 16), (1, 2)).pool == 16
    with pytest.raises(KitError, match="strides has to be 2 whole numbers from 1"):
        Architecture.of((8, 16), (1, 2), strides=(0, 2))


@pytest.mark.parametrize("arch", [*ARCHITECTURES, "8,16/1,2", "8,16/1,2+se", "8,16/1,2+pooled"])
def test_an_architecture_s_text_is_read_as_the_same_again(arch):
    assert parse(str(parse(arch))) == parse(arch)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_builds_what_its_row_says(form):
    for sides, pool in ((1, None), (2, 3), (3, 2)):
        a = Architecture.of((4,) * sides, (2,) * sides, form, pool=pool)
        network = build(a).eval()
        rows = summarize(network)
        assert rows[-3].shape == (4, a.pool, a.pool) or pool, "the whole last map is pooled"
        assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
        assert count_parameters(draft(a)) == count_parameters(network)
        scales = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.weight.requires_grad]
        assert (not scales) == FORMS[form].scale_free
