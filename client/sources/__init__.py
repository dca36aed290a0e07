"""Where frames come from: cameras, video files, pipes of JPEGs. Each is an iterable that blocks.

An array becomes a frame by `client.frame_of`.
"""

from client.sources.camera import camera
from client.sources.mjpeg import jpegs, mjpeg
from client.sources.pace import paced
from client.sources.video import VideoFile

__all__ = ["VideoFile", "camera", "jpegs", "mjpeg", "paced"]
