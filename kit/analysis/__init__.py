"""Analyse a trained network's answers: mistakes, calibration, expected score, heat maps, weaknesses.

In: `Answers` (logits and labels of a set of images) or a model with images. Out: tables and arrays for `plots`.
May import: augment, data, errors, model, predict, system.
"""

from kit.analysis.answers import Answers, checked_logits
from kit.analysis.calibration import (
    Calibration,
    calibrate,
    expected_calibration_error,
    fit_temperature,
    reliability,
    wilson,
)
from kit.analysis.expected import LINE, METHODS, Forecast, Line, fit_line, forecast, leaderboard
from kit.analysis.gradcam import gradcam
from kit.analysis.mistakes import (
    Comparison,
    accuracy_by_confidence,
    compare,
    confident_mistakes,
    confused_pairs,
    confusion,
    doubtful_hits,
    images_of_pair,
    per_class,
    suspicious_labels,
)
from kit.analysis.readings import confidence_of_readings
from kit.analysis.shifts import LARGE_CHANGES, SMALL_CHANGES, answers_under, weaknesses

__all__ = [
    "LARGE_CHANGES",
    "LINE",
    "METHODS",
    "SMALL_CHANGES",
    "Answers",
    "Calibration",
    "Comparison",
    "Forecast",
    "Line",
    "accuracy_by_confidence",
    "answers_under",
    "calibrate",
    "checked_logits",
    "compare",
    "confidence_of_readings",
    "confident_mistakes",
    "confused_pairs",
    "confusion",
    "doubtful_hits",
    "expected_calibration_error",
    "fit_line",
    "fit_temperature",
    "forecast",
    "gradcam",
    "images_of_pair",
    "leaderboard",
    "per_class",
    "reliability",
    "suspicious_labels",
    "weaknesses",
    "wilson",
]
