import sys

from mmdit.cli import main

sys.exit(main())
