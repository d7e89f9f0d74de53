"""Runs one case: `run.py module.function`, against the host that --endpoint names."""

import argparse
import importlib
import pathlib
import sys

# An isolated interpreter looks for modules nowhere near its script.
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import lib

arguments = argparse.ArgumentParser()
arguments.add_argument("case")
arguments.add_argument("--endpoint")
arguments.add_argument("--certificate", default=False)
given = arguments.parse_args()

module, function = given.case.split(".")
case = getattr(importlib.import_module(module), function)
if given.endpoint is None:
    case()
else:
    case(lib.client(given.endpoint, given.certificate))
