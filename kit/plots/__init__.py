"""Every figure of the kit: functions that take data and return a matplotlib Figure."""

from kit.plots.samples import (
    augmentation_table,
    class_counts,
    class_samples,
    image_grid,
    pixel_histogram,
    training_views,
)
from kit.plots.training import (
    accuracy,
    architecture,
    compare_runs,
    gradient_norm,
    learning_rate,
    training_loss,
    validation_loss,
)

__all__ = [
    "accuracy",
    "architecture",
    "augmentation_table",
    "class_counts",
    "class_samples",
    "compare_runs",
    "gradient_norm",
    "image_grid",
    "learning_rate",
    "pixel_histogram",
    "training_loss",
    "training_views",
    "validation_loss",
]
