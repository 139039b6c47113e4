"""Every figure of the kit: functions that take data and return a matplotlib Figure.

In: answers, images, histories or tables. Out: a figure, also if there is little or nothing to show.
May import: ablation, analysis, augment, errors, model, run, system. A lazy door (kit.system.lazyimports).
"""

from typing import TYPE_CHECKING

from kit.system.lazyimports import lazy_imports

if TYPE_CHECKING:
    from kit.plots.ablation import accuracy_gaps, table_curves
    from kit.plots.live import LiveCurves, course
    from kit.plots.mistakes import (
        class_measures,
        comparison,
        confused_examples,
        confusion_matrix,
        gallery,
        heat_maps,
        suspicious,
        weakness_bars,
    )
    from kit.plots.pflop import frontier
    from kit.plots.samples import (
        augmentation_table,
        class_counts,
        class_samples,
        image_grid,
        pixel_histogram,
        predicted_samples,
        training_views,
    )
    from kit.plots.scores import (
        confidence_parts,
        forecast_intervals,
        published_line,
        reliability_diagram,
    )
    from kit.plots.style import sentence
    from kit.plots.submissions import expected_against_real
    from kit.plots.training import (
        accuracy,
        architecture,
        compare_runs,
        gradient_norm,
        learning_rate,
        training_loss,
        validation_loss,
    )

__all__, __dir__, __getattr__ = lazy_imports(__name__)
