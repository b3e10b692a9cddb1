"""dgnn/_core.pyi says what dgnn/_core is."""

import ast
import inspect
import pathlib
import typing

import dgnn
from dgnn import _core
from dgnn.calculator import DGNNCalculator
from dgnn.keywords import Checked, checked_keywords
from dgnn.testing import run_mpi

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


def public_functions():
    yield run_mpi
    for kind in (dgnn.Model, dgnn.Border, dgnn.Direct, DGNNCalculator):
        for name, member in vars(kind).items():
            if name == "__init__" and kind is not dgnn.Model or not name.startswith("_") and kind is not DGNNCalculator:
                function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if callable(function):
                    yield function


def test_users_see_types():
    """Of every argument and result: a type checker takes what has none for anything."""
    functions = list(public_functions())
    assert len(functions) > 15
    for function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, function
        for name, parameter in signature.parameters.items():
            assert name in ("self", "cls") or parameter.annotation is not parameter.empty, (function, name)
    assert typing.get_type_hints(checked_keywords)["return"] is Checked  # decorated functions keep theirs
