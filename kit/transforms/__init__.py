"""The arithmetic of augmentation, on whole batches: what kit.augment and kit.autoaugment are made of."""
