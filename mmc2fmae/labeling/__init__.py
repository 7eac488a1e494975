"""Label maps for photographs: detector, segmenter and semantic labeller (paper III-A).

Importing this package needs nothing beyond the project's own requirements; the models themselves
need the extra `labeling`.
"""
