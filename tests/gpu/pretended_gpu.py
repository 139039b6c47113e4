"""A GPU that is not there: `cuda` tensors whose values live on the CPU, so that the kit's GPU path runs in a test.

Python sees `x.device == cuda:0`. Autocast and autograd see the CUDA dispatch keys. C++ is told `meta`, so that
autograd's engine asks for no driver. Every operator is checked: host and device tensors must not meet, and each wait of
the host for the device is recorded with the line of the kit that caused it. CUDA graphs are in pretended_graphs.py.

Needs a CUDA build of torch, which may have no driver.
"""

import contextlib
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

import torch
import torch._dynamo  # imported here, because it must not be imported under the patches below
import torch.nn.functional as F
from pretended_graphs import PretendedGraph, Recording, mapped, tensors_in
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)
KIT = Path(__file__).resolve().parents[2] / "kit"

LOWERED = {torch.conv2d, F.conv2d, F.linear, torch.matmul, torch.mm, torch.addmm, torch.einsum, Tensor.matmul,
           Tensor.__matmul__}  # fmt: skip

WAITS = {  # operators whose CUDA kernels make the host wait, because the host needs what they return
    "_local_scalar_dense", "nonzero", "nonzero_static", "masked_select", "_unique2", "unique_dim", "unique_consecutive",
    "unique_dim_consecutive", "bincount", "equal", "is_nonzero", "_linalg_eigh", "linalg_eigh", "_linalg_svd",
    "repeat_interleave", "histc", "masked_scatter_", "multinomial",
}  # fmt: skip
FREE = {  # operators that launch no kernel: metadata and allocation
    "view", "_unsafe_view", "t", "transpose", "permute", "expand", "unsqueeze", "squeeze", "select", "slice", "split",
    "split_with_sizes", "as_strided", "detach", "alias", "unbind", "empty", "empty_like", "empty_strided", "new_empty",
    "_reshape_alias", "lift_fresh", "is_pinned", "_pin_memory", "set_", "movedim", "unfold", "new_empty_strided",
    "detach_", "diagonal",
}  # fmt: skip
PRODUCTS = {"convolution", "convolution_backward", "mm", "addmm"}
INDEXING = {"index", "index_put", "index_put_", "_unsafe_index", "_index_put_impl_"}


class GpuTensor(Tensor):
    """A tensor that claims to be on cuda:0; `inner` holds its values on the CPU."""

    @staticmethod
    def __new__(cls, inner: Tensor, requires_grad: bool = False) -> "GpuTensor":
        with torch._C._DisableTorchDispatch():
            shell = torch.empty_strided(inner.size(), inner.stride(), dtype=inner.dtype, device="meta")
            self = Tensor._make_subclass(cls, shell, requires_grad, dispatch_device=True, device_for_backend_keys=CUDA)
        self.inner = inner
        return self

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    is_meta = property(lambda self: False)

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)

    @data.setter
    def data(self, value: Tensor) -> None:  # as Module.to(memory_format=...) sets it
        Tensor.data.__set__(self, value)
        self.inner = value.inner

    def data_ptr(self) -> int:
        return self.inner.data_ptr()

    def __repr__(self) -> str:
        return f"GpuTensor({self.inner})"

    def __reduce_ex__(self, protocol):  # as torch.load(map_location="cpu") reads it
        return self.inner.detach().__reduce_ex__(protocol)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            copy = GpuTensor(self.inner.detach().clone(), self.requires_grad)
            if getattr(self, "_is_param", False):
                copy._is_param = True
            memo[id(self)] = copy
        return memo[id(self)]

    def numpy(self, *_args, **_options):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        if func is torch.ops.prim.device.default:
            return torch.device("meta")
        raise RuntimeError(f"{func} outside of the pretended GPU")


class _Functions(TorchFunctionMode):
    """What C++, which is told `meta`, cannot do: `to` where nothing changes, `tolist`, autocast, numbers by index."""

    def __init__(self, gpu: "PretendedGpu"):
        super().__init__()
        self.gpu, self.casts = gpu, {}  # casts: autocast's cache of weights

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        first = args[0] if args else None
        if func is Tensor.to:
            if isinstance(first, GpuTensor) and _stays(first, args[1:], kwargs):
                return first
            args, kwargs = tuple(map(_indexed, args)), {k: _indexed(v) for k, v in kwargs.items()}
        elif func is Tensor.tolist and isinstance(first, GpuTensor):
            return first.cpu().tolist()
        elif func is Tensor.__setitem__ and isinstance(first, GpuTensor) and not isinstance(args[2], GpuTensor):
            indices = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(i, Tensor) for i in indices):  # CUDA copies the number to the device, and waits for it
                self.gpu.wait("number put by index")
        if not torch.is_autocast_enabled("cuda"):
            self.casts.clear()
        elif func in LOWERED and isinstance(first, GpuTensor):
            dtype = torch.get_autocast_dtype("cuda")
            args, kwargs = mapped(lambda x: self._lowered(x, dtype), (args, kwargs))
        return func(*args, **kwargs)

    def _lowered(self, x, dtype):
        if not isinstance(x, GpuTensor) or not x.is_floating_point() or x.dtype == dtype:
            return x
        if not (x.requires_grad and x.is_leaf):
            return x.to(dtype)
        if x not in self.casts:
            self.casts[x] = x.to(dtype)
        return self.casts[x]


def _stays(x: Tensor, args: tuple, kwargs: dict) -> bool:
    options = {k: v for k, v in kwargs.items() if k != "copy"}
    device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **options)
    if kwargs.get("copy") or not (device is None or device.type == "cuda") or dtype not in (None, x.dtype):
        return False
    return memory_format in (None, torch.preserve_format) or x.is_contiguous(memory_format=memory_format)


def _indexed(value):
    """`cuda` as `cuda:0`: C++ would ask the driver for the index."""
    return CUDA if value == "cuda" or (isinstance(value, torch.device) and value.type == "cuda") else value


class PretendedGpu(TorchDispatchMode):
    """Within: CUDA is there.

    Attributes:
        waits: how often the host waited, by (operator, line of the kit).
        launches: operators that launch kernels, by name.
        bytes: what those operators read and write, by name.

    Args:
        capability: compute capability of the pretended GPU.
        gpus: how many there are.
        values: False keeps shapes alone, to count a step at full size.
    """

    def __init__(self, capability: tuple[int, int] = (9, 0), gpus: int = 1, values: bool = True):
        super().__init__()
        self.home = torch.device("cpu" if values else "meta")  # where the values live; meta has none
        self.capability, self.gpus = capability, gpus
        self.waits, self.launches, self.bytes = Counter(), Counter(), Counter()
        self.recording: Recording | None = None
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        for name, value in self._patches().items():
            self._stack.enter_context(mock.patch(name, value))
        self._stack.enter_context(_Functions(self))
        self._benchmark = torch.backends.cudnn.benchmark
        return super().__enter__()

    def __exit__(self, *exc):
        super().__exit__(*exc)
        torch.backends.cudnn.benchmark = self._benchmark
        self._stack.close()

    def _patches(self):
        stream = mock.Mock(is_capturing=lambda: False)
        return {
            "torch.cuda.is_available": lambda: True,
            "torch.cuda.device_count": lambda: self.gpus,
            "torch.cuda.current_device": lambda: 0,
            "torch.cuda._lazy_init": lambda: None,
            "torch.cuda.is_initialized": lambda: True,
            "torch.cuda.synchronize": lambda *_: self.wait("synchronize"),
            "torch.cuda.get_device_capability": lambda *_: self.capability,
            "torch.cuda.get_arch_list": lambda: ["sm_75", "sm_80", "sm_90"],
            "torch.cuda.is_bf16_supported": lambda *_, **__: True,  # also where it is emulated
            "torch.cuda.mem_get_info": lambda *_: (2**34, 2**34),
            "torch.cuda.get_device_name": lambda *_: "NVIDIA Pretended",
            "torch.cuda.manual_seed_all": lambda *_: None,
            "torch.cuda.manual_seed": lambda *_: None,
            "torch.cuda.set_device": lambda *_: None,
            "torch.cuda.Stream": lambda *_: stream,
            "torch.cuda.current_stream": lambda *_: stream,
            "torch.cuda.Event": lambda *_, **__: mock.Mock(query=lambda: True),  # the device is always done
            "torch.cuda.stream": lambda *_: contextlib.nullcontext(),
            "torch.cuda.graph_pool_handle": lambda: (0, 0),
            "torch.cuda.CUDAGraph": PretendedGraph,
            "torch.cuda.graph": self._record,
            "torch.cuda.is_current_stream_capturing": lambda: self.recording is not None,
            "torch.accelerator.current_stream": lambda *_: mock.Mock(is_capturing=lambda: self.recording is not None),
            "torch.utils._foreach_utils._foreach_supported_types": [Tensor, GpuTensor],
            "torch.optim.optimizer._foreach_supported_types": [Tensor, torch.nn.Parameter, GpuTensor],
            "torch.utils._foreach_utils._get_foreach_kernels_supported_devices": lambda: ["cuda", "meta"],
            "torch.utils._foreach_utils._get_fused_kernels_supported_devices": lambda: ["cuda", "meta"],
            "torch._has_compatible_shallow_copy_type": _same_kind,
        }

    @contextlib.contextmanager
    def _record(self, graph: PretendedGraph, **_options):
        """torch.cuda.graph: nothing that is recorded has happened when the context ends."""
        self.recording = Recording(self)
        try:
            yield
            graph.recording = self.recording
        finally:
            self.recording.undo()
            self.recording = None

    def wait(self, what: str) -> None:
        if self.recording is not None:
            raise RuntimeError(f"operation not permitted when stream is capturing: {what}")
        self.waits[what, self._line()] += 1

    def _line(self) -> str:
        frame = sys._getframe(2)
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(KIT):
                return f"{path.relative_to(KIT.parent)}:{frame.f_lineno}"
            frame = frame.f_back
        return "?"

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        if func is torch.ops.prim.device.default:
            return torch.device("meta") if isinstance(args[0], GpuTensor) else func(*args)
        if name == "is_pinned":
            return getattr(args[0], "_pinned", False)
        if name == "_pin_memory":
            pinned = args[0].clone()
            pinned._pinned = True
            return pinned
        tensors = tensors_in((args, kwargs))
        device = kwargs.get("device")
        to_gpu = device is not None and torch.device(device).type in ("cuda", "meta")
        has_gpu = any(isinstance(x, GpuTensor) for x in tensors)
        on_meta = (torch.utils._device.CURRENT_DEVICE or CUDA).type == "meta"  # as when parameters are counted
        if not has_gpu and (not to_gpu or on_meta):
            return func(*args, **kwargs)  # work of the host
        self._check(func, name, args, kwargs, tensors, has_gpu)
        return self._run(func, name, args, kwargs, tensors, has_gpu and device is not None and not to_gpu)

    def call(self, func, args, kwargs):
        """The operator itself. Products of float16 are slow on a CPU: computed in float32 and rounded."""
        name = func._schema.name.partition("::")[2]
        if self.home.type == "meta" and name in ("_fused_sgd_", "_fused_adam_", "_fused_adamw_"):
            return None
        if name not in PRODUCTS or args[0].dtype not in (torch.float16, torch.bfloat16):
            return func(*args, **kwargs)
        dtype = args[0].dtype
        args, kwargs = mapped(Tensor.float, (args, kwargs))
        return mapped(lambda x: x.to(dtype), func(*args, **kwargs))

    def _run(self, func, name, args, kwargs, tensors, to_host):
        inner_args, inner_kwargs = mapped(lambda x: x.inner if isinstance(x, GpuTensor) else x, (args, kwargs))
        if kwargs.get("device") is not None:
            inner_kwargs["device"] = torch.device("cpu") if to_host else self.home
        inner_kwargs.pop("pin_memory", None)
        if name == "_to_copy":
            inner_kwargs.pop("non_blocking", None)
        if self.recording is not None:
            out = self.recording.run(func, inner_args, inner_kwargs)
        else:
            out = self.call(func, inner_args, inner_kwargs)
        if name in ("_local_scalar_dense", "is_nonzero", "equal"):
            return out
        if name == "_to_copy" and to_host:
            return out.clone() if out is inner_args[0] else out
        if to_host:  # such as zeros_like(device="cpu")
            return out
        if name == "copy_" and not isinstance(args[0], GpuTensor):
            return args[0]
        self._count(func, name, tensors, out)
        written = _written_argument(func, args, kwargs)
        if written is not None:
            return written
        return mapped(GpuTensor, out)

    def _check(self, func, name, args, kwargs, tensors, has_gpu):
        if name in ("_to_copy", "copy_"):
            return self._check_copy(name, args, kwargs)
        host = [tuple(x.shape) for x in tensors if not isinstance(x, GpuTensor) and x.ndim]
        if has_gpu and host:
            where = f"{func} at {self._line()} got host tensors of shapes {host}"
            raise RuntimeError(f"Expected all tensors to be on the same device: {where}")
        if name in WAITS and has_gpu:
            self.wait(name)
        if name in INDEXING and any(isinstance(x, GpuTensor) and x.dtype in (torch.bool, torch.uint8) for x in args[1]):
            self.wait(f"{name} by a mask")

    def _check_copy(self, name, args, kwargs):
        if name == "copy_":
            target_on_gpu, source = isinstance(args[0], GpuTensor), args[1]
        else:
            device, source = kwargs.get("device"), args[0]
            target_on_gpu = isinstance(source, GpuTensor) if device is None else torch.device(device).type != "cpu"
        if isinstance(source, GpuTensor) == target_on_gpu:
            return
        non_blocking = kwargs.get("non_blocking", False) or (name == "copy_" and len(args) > 2 and args[2])
        if not non_blocking or (target_on_gpu and not getattr(source, "_pinned", False)):
            self.wait(f"{name} {'to the device' if target_on_gpu else 'to the host'}")

    def _count(self, func, name, tensors, out):
        outs = tensors_in(out)
        if name in FREE or func.is_view or not any(x.numel() for x in outs + tensors):
            return
        self.launches[name] += 1
        moved = tensors + ([] if func._schema.is_mutable else outs)
        self.bytes[name] += sum(x.numel() * x.element_size() for x in moved)


def _same_kind(a: Tensor, b: Tensor) -> bool:
    return isinstance(a, GpuTensor) == isinstance(b, GpuTensor)


def _written_argument(func, args, kwargs):
    """The argument that an in-place operator returns itself, or None."""
    returns = func._schema.returns
    if len(returns) != 1 or returns[0].alias_info is None or not returns[0].alias_info.is_write:
        return None
    for index, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[index] if index < len(args) else kwargs.get(argument.name)
            if value is not None:
                return value
    return None


def on_gpu(tensor: Tensor) -> GpuTensor:
    """A host tensor on the pretended GPU; nothing is recorded."""
    return GpuTensor(tensor)
