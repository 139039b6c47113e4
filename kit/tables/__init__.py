"""What the ablation is made of: the paper's experiments, the records of runs, and how they compare."""
