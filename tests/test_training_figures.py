"""The curves of a training, also of one that has hardly begun."""

import pandas as pd
import pytest

from kit import plots


@pytest.mark.parametrize("curve", [plots.training_loss, plots.validation_loss, plots.accuracy, plots.gradient_norm])
def test_before_the_first_epoch_ended_a_curve_says_so(curve):
    figure = curve(pd.DataFrame())
    assert [text.get_text() for text in figure.axes[0].texts] == ["no epoch has ended yet"]
