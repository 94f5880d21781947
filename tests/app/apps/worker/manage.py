#!/usr/bin/env python
from __future__ import annotations

import sys

from standin.commands import manage

if __name__ == "__main__":
    sys.exit(manage(sys.argv[1:]))
