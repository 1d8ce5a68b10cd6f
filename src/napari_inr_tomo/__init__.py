"""Electron tomography in napari, from the raw tilt series to a live volume."""

__version__ = "0.1.0"
