from __future__ import annotations

import sys

from standin.commands import migrate_timeseries

if __name__ == "__main__":
    sys.exit(migrate_timeseries())
