"""dgnn/_core.pyi says what dgnn/_core is."""

import ast
import inspect
import pathlib

import dgnn
from dgnn import _core

STUB = ast.parse((pathlib.Path(dgnn.__file__).parent / "_core.pyi").read_text())


def stub_parameters(function):
    arguments = function.args
    names = [argument.arg for argument in arguments.posonlyargs + arguments.args]
    return [name for name in names if name != "cls"], len(arguments.defaults)


def real_parameters(function):
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters], sum(p.default is not p.empty for p in parameters)


def test_functions_and_classes():
    functions = {node.name: node for node in STUB.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}
    variables = {node.target.id for node in STUB.body if isinstance(node, ast.AnnAssign)}
    real = {name for name in vars(_core) if not (name.startswith("__") and name.endswith("__"))}
    assert real == set(functions) | set(classes) | variables
    for name, node in functions.items():
        assert stub_parameters(node) == real_parameters(getattr(_core, name)), name


def test_methods():
    for node in STUB.body:
        if not isinstance(node, ast.ClassDef):
            continue
        real = getattr(_core, node.name)
        methods = {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}
        if issubclass(real, Exception):
            assert not methods
            assert [base.__name__ for base in real.__bases__] == [ast.unparse(base) for base in node.bases]
            continue
        public = {name for name in vars(real) if not name.startswith("__")}
        assert public == {name for name in methods if not name.startswith("__")}
        for name, method in methods.items():
            function = real if name == "__new__" else getattr(real, name)
            assert stub_parameters(method) == real_parameters(function), f"{node.name}.{name}"


def test_types_are_marked():
    assert (pathlib.Path(dgnn.__file__).parent / "py.typed").exists()
