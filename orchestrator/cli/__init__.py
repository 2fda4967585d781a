"""The console script `augsweep`: one command line over the commands that `python -m` starts too."""
