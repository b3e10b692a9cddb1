"""dgnn inside i-PI's own process, without a socket: i-PI's <ffdirect> with <pes>custom</pes>.

    <ffdirect name="dgnn">
      <pes> custom </pes>
      <pes_path> dgnn_pes.py </pes_path>
      <parameters> {template: atoms.extxyz, model: model.pt2} </parameters>
    </ffdirect>

template: which atoms, in i-PI's order, for ASE. Beads are computed one after another; clients on a socket share them.
"""

from ipi.pes._ase import ASEDriver

from dgnn.calculator import DGNNCalculator

__DRIVER_NAME__ = "dgnn"
__DRIVER_CLASS__ = "DGNNDriver"


class DGNNDriver(ASEDriver):
    def __init__(self, template, model, has_stress=True, **options):
        self.model = model
        super().__init__(template=template, has_stress=has_stress, verbose=options.pop("verbosity", None))

    def check_parameters(self):
        super().check_parameters()
        self.ase_calculator = DGNNCalculator(self.model)
