"""What a training step may cost: one table, for the pretended GPU and for the null GPU.

The figures are upper bounds, about two per cent above what was measured on 26 November 2026 with torch 2.14 (the bytes
of `quick` on the day after, when its network became wider). A change that needs more has to raise them here, and to say
why.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """Costs of one step of a recipe at full size, without torch.compile.

    Attributes:
        operators: those that launch kernels, in bfloat16 (pretended GPU).
        megabytes: what these operators read and write, in 10^6 bytes (pretended GPU).
        kernels: of a replayed step, by compute capability (null GPU): 9.0 is bfloat16, 7.5 is float16.
        launches: those of the host for a replayed step, besides the graph itself (null GPU): copies of the batch,
            learning rates, and Lookahead's slow weights once per cycle.
    """

    operators: int
    megabytes: int
    kernels: dict[str, int]
    launches: float


BUDGETS = {
    "paper": Budget(328, 4_800, {"9.0": 495, "7.5": 375}, 3.2),
    "t4": Budget(284, 13_850, {"9.0": 398, "7.5": 307}, 3),
    "quick": Budget(359, 3_280, {"9.0": 421, "7.5": 509}, 6),
    "hour": Budget(366, 4_100, {"9.0": 423, "7.5": 511}, 6),
    "leaderboard": Budget(592, 6_090, {"9.0": 761, "7.5": 650}, 3),
    "lookahead-adam": Budget(329, 4_820, {"9.0": 497, "7.5": 377}, 3.2),
}

COMPILED_KERNELS = {"9.0": 148, "8.0": 148, "7.5": 168}  # of a replayed step of the small network of null_steps.py

# What the compiled kernels of a forward and a backward pass of the network 64/2 (a stem and two blocks) read and write,
# batch 128 in bfloat16, as inductor counts them: 72 passes over maps of 16.8 MB.
COMPILED_MEGABYTES = 1_235
