"""The exit codes of the command beside 0, which is done."""

#: The work is done and its files are there, but what was to be read on the terminal could not be printed.
NOT_PRINTED = 1
#: Bad input or arguments: one sentence was said, and nothing was written.
BAD_INPUT = 2
#: Stopped by a signal, as shells report Ctrl-C.
STOPPED = 130
