"""Images: reading files, finding the breast, placing it on the canvas, storing the canvases."""
