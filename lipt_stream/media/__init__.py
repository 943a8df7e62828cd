"""Pictures in, pictures out: sources, sinks, encoders, and the streams that are copied beside the picture.

The only room that imports `av`. It knows nothing of networks or devices; it fills and empties planes.
"""
