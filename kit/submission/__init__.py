"""The competition's CSV: predictions of the test images, checked and written with their provenance.

In: predicted labels and the test file. Out: a CSV that Kaggle takes, or one sentence that says what is wrong.
May import: analysis, data, errors, model, rules, run, system. Importing it does not import torch.
"""

from kit.submission.csvfile import check_submission, write_submission
from kit.submission.members import networks_of, summary_of
from kit.submission.provenance import describe, sha256, submission_path
from kit.submission.sanity import warn_of_unlike_images, warn_of_unlikely_labels
from kit.submission.testimages import ToLabel, find_test_file, images_to_label

__all__ = [
    "ToLabel",
    "check_submission",
    "describe",
    "find_test_file",
    "images_to_label",
    "networks_of",
    "sha256",
    "submission_path",
    "summary_of",
    "warn_of_unlike_images",
    "warn_of_unlikely_labels",
    "write_submission",
]
