"""Workspaces of convolutions on a CPU: copies in oneDNN's blocked layouts, im2col buffers, copies of gradients.

oneDNN's kernels read images as N,C/8,*X,8 (16 with AVX-512) and weights as K/8,C/8,*R,8,8, but torch passes plain
layouts. Each operand is copied to blocks; the result is computed in blocks and copied to a plain layout after the
operands' copies are freed. If no blocked kernel fits, oneDNN multiplies matrices (im2col and `gemm`) with a column of
C/g·R numbers for each output position, one image per thread.
"""

from __future__ import annotations

from functools import cached_property
from math import prod

from cnncost.graph import ITEM_BYTES, OpSpec, TensorType
from cnncost.ops.workspace import Kernels

_SMALL = 20_480
"""Torch calls oneDNN for images with more elements (`ConvParams::use_mkldnn`)."""
_DESCRIPTORS_PER_THREAD, _SHARED_DESCRIPTORS = 4_120, 4_096
"""Bytes of oneDNN's descriptors for `brgemm` (batches of small products): for each thread, and once for all."""
_CACHE = 2**19
"""Maximum bytes of an im2col buffer in forward: the size of a core's L2 cache."""
_LARGE_KERNEL = 6
"""With AVX-512, the weights' gradient is copied again if the kernel has at least this side and covers the image."""
_STRIDED_DESCRIPTORS_PER_THREAD = 49_152
"""Bytes of `brgemm` descriptors for each thread in the input gradient of a strided convolution."""


def round_up(size: int, block: int) -> int:
    """Round up to a multiple of `block`."""
    return -(-size // block) * block


class Conv:
    """Sizes of one convolution as its kernels see it: x: N,C,*X; w: K,C/g,*R; y: N,K,*P; transposed: x and y swapped.

    Attributes:
        x, w, y: bytes of the tensors in their own layouts.
        n, c, k, g: images, input channels, output channels, groups.
        sizes: spatial sizes of x; positions: output positions of one image; slice: those of one slice of a volume.
        r: number of kernel positions; side: the kernel's longest side; padding: the largest along any axis.
        item: bytes per element.
        input_shape: N,C,*X of the call's input; torch inserts an axis of 1 into sequences.
        copied: bytes of contiguous copies of operands that torch makes before it calls a kernel.
    """

    def __init__(self, spec: OpSpec, x: TensorType, y: TensorType, kernels: Kernels) -> None:
        weight = spec.inputs[2 if spec.kind == "conv_backward" else 1]
        axes = len(weight.shape) - 2
        self.spec, self.kernels, self.axes = spec, kernels, axes
        self.item = ITEM_BYTES[weight.dtype]
        self.transposed = bool(spec["transposed"])
        self.copied: int = x.nbytes if spec.get("layout") == "strided" else 0
        self.copied += y.nbytes if spec.get("copied") else 0
        channels, *sizes = x.shape[-axes - 1 :]
        self.input_shape = (
            x.shape[0] if len(x.shape) == axes + 2 else 1,
            *((channels, 1, *sizes) if axes == 1 else (channels, *sizes)),
        )
        if self.transposed:  # it is computed as the input gradient of a convolution from y to x
            x, y = y, x
        self.n: int = x.shape[0] if len(x.shape) == axes + 2 else 1
        self.c: int = x.shape[-axes - 1]
        self.k: int = y.shape[-axes - 1]
        self.g: int = spec["groups"]
        self.positions = prod(y.shape[-axes:])
        self.r, self.side = prod(weight.shape[2:]), max(weight.shape[2:], default=1)
        self.slice = prod(y.shape[-2:])
        self.w: int = weight.nbytes
        self.x: int = x.nbytes
        self.y: int = y.nbytes
        padding = spec["padding"]
        if isinstance(padding, str):
            self.padding = self.side // 2 if padding == "same" else 0
        else:
            self.padding = max(padding, default=0)
        self.channels_last = spec.get("layout") == "channels_last"
        self.sizes = tuple(x.shape[-axes:])

    @cached_property
    def strided(self) -> bool:
        """True if the stride along any axis is above 1."""
        return max(self.spec["stride"], default=1) > 1

    @cached_property
    def dilated(self) -> bool:
        """True if the dilation along any axis is above 1."""
        return max(self.spec["dilation"], default=1) > 1

    @property
    def depthwise(self) -> bool:
        """True if the convolution is depthwise, with one output channel for each input channel."""
        return 1 < self.g == self.c == self.k

    @property
    def block(self) -> int:
        """Number of channels in a block of oneDNN's layouts."""
        return self.kernels.lanes

    @property
    def native(self) -> bool:
        """True if torch runs its own kernel: for float64, small single images, and plain 1x1 kernels on one thread."""
        if self.spec.inputs[0].dtype != "float32":
            return self.item > 4  # oneDNN has kernels for 16 and 32 bits
        kernel = self.spec["kernel"]
        is_1x1 = max(kernel[-2:], default=1) == 1  # torch looks only at the last two axes, even of a volume
        plain_1x1 = not self.strided and not self.dilated and self.n < 16 and is_1x1 and self.kernels.threads == 1
        large_kernel = len(kernel) > 1 and min(kernel[-2:]) > 3
        # torch multiplies the first four sizes, even of a volume
        large = self.g > 1 or large_kernel or self.n > 1 or prod(self.input_shape[:4]) > _SMALL
        return plain_1x1 or not large

    @property
    def columns(self) -> int:
        """Bytes of the im2col buffer of one image or slice; 0 if a 1x1 kernel reads the image directly.

        Torch's own kernel for dilated convolutions always has such a buffer.
        """
        if self.r == 1 and not self.strided and not self.padding and not (self.native and self.dilated):
            return 0
        positions = self.positions if self.native or self.axes < 3 else self.slice
        return self.c // self.g * self.r * positions * self.item

    @property
    def avx512(self) -> bool:
        """True with AVX-512, for which oneDNN has direct kernels in cases that otherwise need im2col."""
        return self.kernels.lanes == 16

    @property
    def threads(self) -> int:
        """Number of threads, each with its own im2col buffer."""
        return min(self.kernels.threads, self.n * self.g)

    @property
    def descriptors(self) -> int:
        """Bytes of oneDNN's descriptors for batches of small products (`brgemm`)."""
        return _DESCRIPTORS_PER_THREAD * self.kernels.threads + _SHARED_DESCRIPTORS

    @property
    def gathered(self) -> int:
        """Bytes of the buffers in which a strided 1x1 kernel gathers its input ("reduce to unit stride")."""
        if self.r > 1 or not self.strided or self.padding or self.depthwise:
            return 0
        return self.kernels.threads * round_up(self.c, self.block) * self.positions * self.item

    @property
    def in_blocks(self) -> bool:
        """True if there is one group, each group's channels fill whole blocks, or the convolution is depthwise."""
        whole = self.c // self.g % self.block == self.k // self.g % self.block == 0
        return self.g == 1 or self.depthwise or whole

    def blocked(self, nbytes: int, channels: int) -> int:
        """Bytes of a tensor with its channels padded to whole blocks."""
        return nbytes // channels * round_up(channels, self.block)

    def blocked_weights(self, flat: bool = False) -> int:
        """Bytes of the weights in blocks; with `flat`, the input channels are few and not padded."""
        if self.depthwise:
            return round_up(self.g, self.block) * self.r * self.item
        if self.g > 1:  # with groups, kernels on blocks run only if nothing is padded (`in_blocks`)
            return self.w
        return round_up(self.k, self.block) * (self.c if flat else round_up(self.c, self.block)) * self.r * self.item

    @property
    def product_weights(self) -> int:
        """Bytes of the weights for small products; output channels per group are padded to whole registers."""
        if self.depthwise:
            return self.blocked_weights()
        outs = self.c if self.transposed else self.k
        padded = _whole_registers(outs // self.g, self.block)
        return self.w // (outs // self.g) * padded

    @property
    def clone(self) -> int:
        """Bytes of a channels-last copy of the weights for channels-last images; 0 if their plain order is the same."""
        return self.w if self.channels_last and self.r > 1 and self.c > self.g else 0


def _whole_registers(channels: int, lanes: int) -> int:
    """Round up to whole registers: one, or a multiple of two or three."""
    return lanes if channels <= lanes else min(round_up(channels, 2 * lanes), round_up(channels, 3 * lanes))


def conv(spec: OpSpec, kernels: Kernels) -> int:
    """Return forward's workspace in bytes: the larger of two moments.

    First the blocked operands and the blocked result are alive, then the blocked and the plain result.
    """
    x, y = spec.inputs[0], spec.outputs[0]
    if not x.numel or not y.numel:
        return 0
    c = Conv(spec, x, y, kernels)
    if c.native:
        return c.copied + _native(c)
    if c.transposed:
        return c.copied + c.clone + _input_gradient(c) - c.x  # x and y are swapped: c.x is the result
    if c.channels_last:
        return c.copied + c.clone + c.product_weights + (0 if c.depthwise else c.descriptors)
    return c.copied + _forward(c) - c.y


def _native(c: Conv) -> int:
    """Return the bytes of torch's own kernel: all images' columns, or with groups, results before concatenation."""
    return c.clone + (max(c.y, c.x // c.g) if c.g > 1 else c.n * c.columns)


def _forward(c: Conv) -> int:
    """Return the peak bytes of oneDNN's forward, result included."""
    if c.avx512 and not c.in_blocks:
        return max(c.x + c.w + c.y, 2 * c.y)  # by small products on channels-last copies
    if not c.in_blocks or c.padding > 3 or (c.side > 7 and c.padding and c.strided):  # no blocked kernel: im2col
        return max(c.threads * min(c.columns, _CACHE) + c.y, 2 * c.y)
    flat = c.c < c.block and c.g == 1 and c.r > 1  # a kernel for few channels reads the plain image
    source = 0 if flat else c.blocked(c.x, c.c)
    result = c.blocked(c.y, c.k)
    return max(source + c.blocked_weights(flat) + result + c.gathered, result + c.y)


def conv_backward(spec: OpSpec, kernels: Kernels) -> int:
    """Return backward's workspace in bytes: the input's gradient comes first, and is alive during the weight's."""
    grad, x = spec.inputs[0], spec.inputs[1]
    if not grad.numel or not x.numel:
        return 0
    c = Conv(spec, x, grad, kernels)
    outputs = (x.nbytes if spec["of_input"] else 0) + (c.w if spec["of_weight"] else 0)
    if c.native:
        images = c.n if c.axes == 3 else 1  # volumes are unfolded all at once (`slow_conv3d_backward`)
        buffers = images * c.columns if c.g == 1 else outputs  # with groups, gradients before concatenation
        return c.copied + c.clone + buffers
    input_peak = _forward if c.transposed else _input_gradient
    of_input = input_peak(c) if spec["of_input"] else 0
    of_weight = _weight_gradient(c) + (x.nbytes if spec["of_input"] else 0) if spec["of_weight"] else 0
    return c.copied + c.clone + max(of_input, of_weight) - outputs


def _input_gradient(c: Conv) -> int:
    """Return the peak bytes while the gradient of x is computed, that gradient included.

    A dense convolution with strides is computed by small products on channels-last images, which are copied twice.
    """
    has_gaps = c.dilated and c.r > 1  # between the kernel's positions
    if c.channels_last:
        if c.depthwise and not has_gaps:
            return c.x + c.blocked_weights()
        if has_gaps:
            return c.x + c.w + c.threads * c.columns
        strided_descriptors = _STRIDED_DESCRIPTORS_PER_THREAD * c.kernels.threads
        return c.x + c.product_weights + (strided_descriptors if c.strided else c.descriptors)
    if not c.in_blocks or (has_gaps and (c.strided or c.depthwise or c.padding > 3)) or (c.depthwise and c.padding > 3):
        return c.x + max(c.x, c.threads * c.columns)  # no blocked kernel: im2col
    if c.strided and not c.depthwise:
        grad = c.y if c.k > 1 and c.positions > 1 else 0
        weights = c.w // c.c * _whole_registers(c.c // c.g, c.block) * c.g
        return max(grad + weights + c.x + _STRIDED_DESCRIPTORS_PER_THREAD * c.kernels.threads, 3 * c.x)
    result = c.blocked(c.x, c.c)
    copy = result if c.transposed and c.spec["bias"] and c.spec.kind == "conv" else 0  # to add the bias
    return max(c.blocked(c.y, c.k) + c.blocked_weights() + result + copy, result + c.x)


def _weight_gradient(c: Conv) -> int:
    """Return the peak bytes while the gradient of w is computed, that gradient included.

    With im2col, oneDNN reserves four times the weights to sum the threads' results (`key_conv_wei_reduction`).
    """
    # sizes that no blocked kernel supports
    beyond = c.padding > c.side // 2 if c.avx512 else c.side > min(c.sizes[-2:]) or (c.axes == 3 and c.strided)
    im2col_only = (c.dilated and c.r > 1) or beyond
    small_or_dense = not c.depthwise or (c.side <= 3 and max(c.spec["stride"]) <= 2)
    by_columns = c.w + max(c.threads * (c.columns + 4 * c.w), c.w)
    if c.channels_last:
        result = c.w if c.depthwise and small_or_dense else _padded_weights(c)
        return max(by_columns, 3 * c.w) if im2col_only else result + 2 * c.w
    if im2col_only or not c.in_blocks or not small_or_dense or c.side >= 14:
        return by_columns
    flat = c.c in (1, 3) and c.g == 1
    result = c.blocked_weights(flat)
    source = 0 if flat else c.blocked(c.x, c.c)
    # measured; it is not known which kernel does this
    copied_again = c.avx512 and c.positions == 1 and c.side >= _LARGE_KERNEL
    return max(source + c.blocked(c.y, c.k) + result, result + c.w * (1 + copied_again))


def _padded_weights(c: Conv) -> int:
    """Return the bytes of the weights with each group's input and output channels padded to whole blocks."""
    return c.g * round_up(c.c // c.g, c.block) * round_up(c.k // c.g, c.block) * c.r * c.item
