"""The window: napari layers, dock widgets, live view.  The only part that knows Qt."""
