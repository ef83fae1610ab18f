"How the program is called: names, streams, unexpected errors."
from satseg_fastai.geo.raster import Scene

from .case import Case


def is_missing(folder):
    "A scene that is not there."
    Scene(folder/'gone.tif')


CASES = [Case('35', 'a scene that does not exist', 'refused: gone.tif', is_missing)]
