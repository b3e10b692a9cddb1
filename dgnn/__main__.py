"""python -m dgnn"""

import sys

from dgnn.cli import main

sys.exit(main())
