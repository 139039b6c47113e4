"""A CIFAR-10 competition kit: from images to a checked Kaggle CSV, with at most five million parameters."""
