"What every test shares."
import pytest
import torch


@pytest.fixture(autouse=True, scope='session')
def one_thread():
    "The threads are part of what a resumed run must agree in; the children have one."
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
