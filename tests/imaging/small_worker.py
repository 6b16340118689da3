"""A decoder with less memory than large pictures take."""

import sys

from eacps.errors import InvalidPicture
from eacps.imaging import workers
from eacps.processes import worker

worker.MEMORY_BYTES = 3 * 2**28
worker.work(workers._done, InvalidPicture, int(sys.argv[1]))
