"""What TensorRT's ONNX parser takes, as data, and the check that a graph holds nothing else.

Every graph that the exporter writes is checked, whatever runs it later: a graph that only some runtimes read would be
found out on a GPU, hours into the building of an engine.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

OPSETS = range(9, 25)
"""Versions of ONNX's operators that the parser knows."""

SUPPORTED = frozenset(
    """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization BlackmanWindow
    Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformConv
    DepthToSpace DequantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
    GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf
    IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max
    MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow
    QuantizeLinear RMSNormalization RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal
    ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare
    Relu Reshape Resize ReverseSequence RoiAlign RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu
    Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan
    Tanh TensorScatter ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905  # a table, to be compared with its source
)
"""Operators of the default domain that the parser imports.

Source: the support matrix of onnx/onnx-tensorrt, ``docs/operators.md``, as of TensorRT 10.15.
"""

RANDOM = frozenset(name for name in SUPPORTED if name.startswith("Random")) | {"Bernoulli", "Multinomial"}
"""Random operators: a picture could not be reproduced from its recipe."""

CONSTANT_INPUTS: dict[str, tuple[int, ...]] = {
    "CumSum": (1,),  # axis
    "Dropout": (1, 2),  # ratio, training mode
    "OneHot": (1,),  # depth
    "Pad": (1, 2, 3),  # pads, value, axes
    "Resize": (1, 2, 4),  # region, scales, axes; sizes may be computed
    "Slice": (3, 4),  # axes, steps; starts and ends may be computed
    "Split": (1,),  # sizes
    "Squeeze": (1,),  # axes
    "TopK": (1,),  # k
    "Unsqueeze": (1,),  # axes
} | {
    f"Reduce{how}": (1,)  # axes
    for how in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
}
"""Inputs that must be known when an engine is built, by operator and index.

Stricter than the parser in places: it evaluates some computed operands, but which ones differs by version.
"""


class UnsupportedGraph(Exception):
    """A graph holds what the parser does not take, or what is random; the message names network, node and operator."""


def check_operators(model: ir.Model, network: str) -> None:
    """Check that TensorRT's parser has every operator of a graph, that build-time operands are constants, and that
    nothing is random.

    Args:
        model: The graph, its subgraphs included. Local functions must have been inlined.
        network: Its name, for the message.

    Raises:
        UnsupportedGraph: With all violations.
    """
    found = list(violations(model))
    if found:
        raise UnsupportedGraph(f"the graph of {network} cannot be served: {'; '.join(found)}")


def violations(model: ir.Model) -> Iterator[str]:
    """Yield what TensorRT's parser would refuse, and what is random, in words, in the order of the graph."""
    opset = model.opset_imports.get("", 0)
    if opset not in OPSETS:
        yield f"opset {opset}, where {OPSETS.start} to {OPSETS.stop - 1} are known"
    for function in model.functions.values():
        yield f"{function.domain}::{function.name} is a local function"
    for node in model.graph.all_nodes():
        if node.domain in ("", "ai.onnx") and node.op_type in RANDOM:
            yield f"node {node.name} is a {node.op_type}, whose output is random"
            continue
        if node.domain not in ("", "ai.onnx") or node.op_type not in SUPPORTED:
            yield f"node {node.name} is a {node.domain and node.domain + '::'}{node.op_type}, which it does not have"
            continue
        for index in CONSTANT_INPUTS.get(node.op_type, ()):
            value = node.inputs[index] if index < len(node.inputs) else None
            if value is not None and not is_constant(value):
                yield f"input {index} of node {node.name}, a {node.op_type}, is no constant"


def is_constant(value: ir.Value) -> bool:
    """Return whether a value is a weight or a ``Constant`` of its graph, rather than an input or computed."""
    if value.is_graph_input():
        return False
    return value.is_initializer() or ir.convenience.get_const_tensor(value) is not None
