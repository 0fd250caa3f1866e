import sys

try:
    from mmdit.cli import main

    status = main()
except KeyboardInterrupt:  # while that was imported
    print("mmdit: stopped", file=sys.stderr)
    status = 130
sys.exit(status)
