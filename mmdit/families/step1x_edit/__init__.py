"""Step1X-Edit: the transformer, what stands before it, and the loop that edits (arXiv 2504.17761, 2511.22625).

`families/step1x.py` drives it like every other family.
"""
