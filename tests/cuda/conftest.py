import pytest

from fake import driver, environment, stand_in


@pytest.fixture(scope="session")
def device(tmp_path_factory):
    """The fake driver with one device, as long as the tests of this folder run."""
    fake = driver()
    with environment(DGNN_CUDA_KERNELS=str(stand_in(tmp_path_factory.mktemp("kernels") / "dgnn_kernels.bin"))):
        yield fake
