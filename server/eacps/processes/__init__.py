"""Worker processes for untrusted files, so that no file can crash the server.

messages       what a server and its workers say to each other
pool           the server's side: starts workers, asks them, ends those that hang
worker         a worker's side: its limits, and its loop
"""

from eacps.processes.messages import Part
from eacps.processes.pool import TaskFailed, WorkerEnded, WorkerPool, WorkerUnavailable

__all__ = ["Part", "TaskFailed", "WorkerEnded", "WorkerPool", "WorkerUnavailable"]
