"""Optimal transport of answers to classes: confidence if every class has to get its share of the images.

After Lu et al. 2023 (arXiv:2305.15640): under a shift a network predicts some classes too often, and its confidence
does not show it. The transport problem is solved through its smoothed dual, which has one price per class (Peyre &
Cuturi 2019, arXiv:1803.00567).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

SMOOTHING = 0.001  # of the dual; the mean confidence is at most log(classes) times this below the exact optimum


def transported_confidence(probabilities: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Assign images to classes with given shares so that the mean probability is highest, and return the probabilities.

    Args:
        probabilities: float (N, classes), rows that sum to 1.
        shares: float (classes,), each class's share of the images; they sum to 1.

    Returns:
        float (N,): each image's probability of its assigned class, at most its confidence. If an image is divided
        between classes, the mean over its parts.
    """

    def plan(prices: np.ndarray) -> np.ndarray:
        return softmax((probabilities - prices) / SMOOTHING, axis=1)

    def dual(prices: np.ndarray) -> tuple[float, np.ndarray]:
        value = SMOOTHING * logsumexp((probabilities - prices) / SMOOTHING, axis=1).mean() + shares @ prices
        return value, shares - plan(prices).mean(0)

    options = {"ftol": 1e-12, "gtol": 1e-6}
    prices = minimize(dual, np.zeros(len(shares)), jac=True, method="L-BFGS-B", options=options).x
    return (plan(prices) * probabilities).sum(1)
