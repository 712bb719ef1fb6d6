"""The data sets that the benchmark knows, one file each, found by folder: ``mnist.py`` is the data set ``mnist``.

A file has ``load(spec, download) -> Dataset``. Images may have any size: callers of ``load`` resize and check them.
"""
