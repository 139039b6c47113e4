"""Optimal transport of answers to classes: how sure a network is where every class has to get its share of images.

After Lu et al. 2023 (arXiv:2305.15640): under a shift a network favours some classes, and its confidence does not
notice. The transport is solved through its smoothed dual, which has one price a class (Peyre & Cuturi 2019,
arXiv:1803.00567).
"""

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

SMOOTHING = 0.001  # of the dual: the mean confidence found is less than log(classes) times this below the best


def transported_confidence(probabilities: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The probability of the class that each image goes to, where the mean of all is highest under given shares.

    Args:
        probabilities: float (N, classes), rows that sum to 1.
        shares: float (classes,), what share of the images each class gets; they sum to 1.

    Returns:
        float (N,), at most the confidence; of an image that is cut between classes, the mean over its parts.
    """

    def plan(prices: np.ndarray) -> np.ndarray:
        return softmax((probabilities - prices) / SMOOTHING, axis=1)

    def dual(prices: np.ndarray) -> tuple[float, np.ndarray]:
        value = SMOOTHING * logsumexp((probabilities - prices) / SMOOTHING, axis=1).mean() + shares @ prices
        return value, shares - plan(prices).mean(0)

    options = {"ftol": 1e-12, "gtol": 1e-6}
    prices = minimize(dual, np.zeros(len(shares)), jac=True, method="L-BFGS-B", options=options).x
    return (plan(prices) * probabilities).sum(1)
