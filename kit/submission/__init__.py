"""The competition's CSV: predictions of the test images, checked and written with their provenance.

In: predicted labels and the test file. Out: a CSV that Kaggle takes, or one sentence that says what is wrong.
May import: analysis, data, errors, run, system.
"""

from kit.submission.writing import (
    HEADER,
    check_submission,
    describe,
    images_to_label,
    parse_header,
    warn_of_unlike_images,
    warn_of_unlikely_labels,
    write_submission,
)

__all__ = [
    "HEADER",
    "check_submission",
    "describe",
    "images_to_label",
    "parse_header",
    "warn_of_unlike_images",
    "warn_of_unlikely_labels",
    "write_submission",
]
