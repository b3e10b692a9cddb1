"""What ASE finds through the entry point group "ase.plugins"."""

try:
    from ase._4.plugins.plugin import CalculatorPlugin
except ImportError:  # an ASE without plugins; dgnn.calculator registers itself the older way too
    __ase_plugins__: frozenset = frozenset()
else:
    __ase_plugins__ = frozenset(
        {CalculatorPlugin("dgnn", implementation="dgnn.calculator.DGNNCalculator")}
    )
