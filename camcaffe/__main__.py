"""`python -m camcaffe` is the command `camcaffe`."""

from camcaffe.cli import main

main(prog_name="camcaffe")
