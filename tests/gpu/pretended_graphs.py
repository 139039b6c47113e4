"""CUDA graphs for the pretended GPU: operators recorded with the memory that they use, and run again on that memory."""

import torch
from torch import Tensor


def mapped(change, value):
    """`value` with every tensor in its lists, tuples and dicts changed: torch's own function takes twice as long."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([mapped(change, x) for x in value])
    if isinstance(value, dict):
        return {name: mapped(change, x) for name, x in value.items()}
    return value


def tensors_in(value) -> list[Tensor]:
    """All tensors in the lists, tuples and dicts of `value`."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return []
    return [tensor for x in value for tensor in tensors_in(x)]


class Recording:
    """The operators of one capture.

    While a real GPU records, nothing happens on the device. Here each operator runs, so that the next one has its
    input; `undo` then gives every tensor that existed before, and the random generator, their old values back.
    """

    def __init__(self, gpu):
        self.gpu, self.calls = gpu, []
        self._made: set[int] = set()  # addresses of what the recorded operators allocated
        self._old: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
        self._random = torch.get_rng_state()

    def run(self, func, args, kwargs):
        for tensor in _written(func, args, kwargs):
            storage = tensor.untyped_storage()
            if tensor.device.type == "cpu" and storage.data_ptr() not in self._made | self._old.keys():
                self._old[storage.data_ptr()] = storage, storage.clone()
        out = self.gpu.call(func, args, kwargs)
        outs = tensors_in(out)
        inputs = {x.untyped_storage().data_ptr() for x in tensors_in((args, kwargs))}
        self._made |= {x.untyped_storage().data_ptr() for x in outs} - inputs
        if not func.is_view:
            self.calls.append((func, args, kwargs, outs))
        return out

    def undo(self) -> None:
        for storage, values in self._old.values():
            storage.copy_(values)
        torch.set_rng_state(self._random)

    def replay(self) -> None:
        for func, args, kwargs, outs in self.calls:
            again = tensors_in(self.gpu.call(func, args, kwargs))
            for old, new in zip(outs, again, strict=True):
                if old is not new:
                    old.copy_(new)


class PretendedGraph:
    """torch.cuda.CUDAGraph."""

    replays = 0  # of all graphs

    def __init__(self):
        self.recording: Recording | None = None

    def replay(self) -> None:
        PretendedGraph.replays += 1
        gpu = self.recording.gpu
        gpu.launches["graph"] += 1
        with torch.utils._python_dispatch._disable_current_modes(), torch.no_grad():
            self.recording.replay()


def _written(func, args, kwargs) -> list[Tensor]:
    if func._schema.name in ("aten::native_batch_norm", "aten::_native_batch_norm_legit"):  # its schema does not say so
        return [x for x in args[3:5] if isinstance(x, Tensor)]
    if not func._schema.is_mutable:
        return []
    found = []
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[index] if index < len(args) else kwargs.get(argument.name)
            found += tensors_in(value)
    return found
