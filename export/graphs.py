"""The last step of every ONNX graph: simplified, checked, written with its weights beside it."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import optimizer

from export.operators import UnsupportedGraph, check_operators

# ConstantOfShape is left alone by the optimizer, in case it makes a large tensor; exporters pad by small ones.
SMALL = 1024


def write_graph(model: ir.Model, path: Path, network: str) -> None:
    """Simplify a graph, check it, and write it; its weights go to a file beside it, since protobufs end at 2 GB.

    Args:
        model: Changed in place.
        path: File to write.
        network: Name of the network, for messages.

    Raises:
        UnsupportedGraph: It cannot be simplified, or TensorRT's parser would not take it. Nothing is written.
    """
    try:
        simplify(model)
    except RuntimeError as error:
        raise UnsupportedGraph(f"the graph of {network} cannot be simplified: {error}") from error
    check_operators(model, network)
    ir.save(model, path, external_data=f"{path.name}.data")


def simplify(model: ir.Model) -> None:
    """Fold what is constant, and remove sequences of tensors, repetitions, notes and what is never used.

    TensorRT needs axes and sizes as constants, and has no sequences; every other runtime loads a smaller graph faster.
    """
    common.InlinePass()(model)
    optimizer.fold_constants(model, onnx_shape_inference=True, should_fold=_small_fill)
    ir.passes.Sequential(
        common.IdentityEliminationPass(),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        common.RemoveUnusedOpsetsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.NameFixPass(),
    )(model)
    _clear_notes(model.graph)


def _small_fill(node: ir.Node) -> bool | None:
    """Ask for a small ConstantOfShape to be folded; None leaves other nodes to the optimizer."""
    if node.op_type != "ConstantOfShape":
        return None
    shape = ir.convenience.get_const_tensor(node.inputs[0]) if node.inputs[0] is not None else None
    return shape is not None and int(shape.numpy().prod()) <= SMALL


def _clear_notes(graph: ir.Graph) -> None:
    """Remove which line of Python each node came from: most of a small file, and paths of the exporting machine."""
    graph.metadata_props.clear()
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    for node in graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
