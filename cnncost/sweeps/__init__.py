"""Many models at many sizes as one table: a grid of points, each analyzed by itself, in processes or on a cluster.

The package is not called `sweep`, because importing it would then replace the function `cnncost.sweep`.
"""
