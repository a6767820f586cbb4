"""Names: of the values in an ONNX graph, which must differ from each other."""

from collections.abc import Mapping, Sequence

import onnx


def free_names(names: Sequence[str], taken: set[str]) -> list[str]:
    """Return the names, with underscores behind those that are taken."""
    free: dict[str, None] = {}
    asked = set(names)
    for name in names:
        new = name
        while new in taken or new in free or (new != name and new in asked):
            new += "_"
        free[new] = None
    return list(free)


def set_aside(graph: onnx.GraphProto, wanted: set[str]) -> None:
    """Rename what a graph calls by one of the `wanted` names, except its outputs, so that these names are free."""
    outputs = {output.name for output in graph.output}
    used = used_names(graph)
    found = sorted((wanted & used) - outputs)
    rename(graph, dict(zip(found, free_names(found, used | wanted | outputs), strict=True)))


def used_names(graph: onnx.GraphProto) -> set[str]:
    """Return the names of what the nodes of a graph and their bodies read and write, and of its stored values."""
    used = {name for node in graph.node for name in (*node.input, *node.output)} | {i.name for i in graph.initializer}
    bodies = (attribute.g for node in graph.node for attribute in node.attribute if attribute.HasField("g"))
    return used.union(*({value.name for value in body.input} | used_names(body) for body in bodies))


def rename(graph: onnx.GraphProto, renamed: Mapping[str, str]) -> None:
    """Give values of a graph new names, wherever it names them; `renamed` maps old to new."""
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = renamed.get(value.name, value.name)
    for node in graph.node:
        for place in (node.input, node.output):
            place[:] = [renamed.get(name, name) for name in place]
        for attribute in node.attribute:
            if attribute.HasField("g"):  # the body of a loop sees the names around it
                rename(attribute.g, renamed)
