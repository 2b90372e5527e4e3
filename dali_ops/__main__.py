"""``python -m dali_ops`` is the command line ``dalimix``."""

import sys

from dali_ops.cli.main import main

sys.exit(main())
